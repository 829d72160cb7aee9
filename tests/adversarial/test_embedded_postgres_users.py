"""The embedded PostgreSQL between operating system users: root, the service account, an ordinary user, another user.

Only root can become other users, so most tests are skipped for an ordinary user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from threada_site.postgres import Cluster, DirectoryNotOurs, ensure_running, status, stop
from threada_site.postgres.account import Account
from threada_site.postgres.binaries import PACKAGE, SHARED_LIBRARIES, locate
from threada_site.postgres.home import service_home

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a server as somebody else")
pytestmark = pytest.mark.adversarial

REPOSITORY = Path(__file__).parents[2]
START = """
import sys; from pathlib import Path; from threada_site.postgres import *
try: print(ensure_running(Path(sys.argv[1])).pid)
except EmbeddedPostgresError as error: sys.exit(f'{type(error).__name__}: {error}')
"""
CONNECT = "import sys, psycopg; print(psycopg.connect(sys.argv[1]).execute('SELECT 42').fetchone()[0])"


@pytest.fixture
def open_root() -> Iterator[Path]:
    """Create a data directory that every account can reach, unlike pytest's own."""
    parent = Path(tempfile.mkdtemp(prefix="threada test ", dir="/tmp"))
    parent.chmod(0o755)
    yield from _cleared(parent, parent / "data")


@pytest.fixture
def closed_root() -> Iterator[Path]:
    """Create a data directory three levels below one of mode 0700, as in /root."""
    parent = Path(tempfile.mkdtemp(prefix="threada-test-", dir="/tmp"))
    (parent / "a" / "b").mkdir(parents=True)
    yield from _cleared(parent, parent / "a" / "b" / "data")


@pytest.fixture
def users() -> tuple[Account, Account]:
    """Return two unused accounts of this machine that can run this checkout."""
    found = [entry for name in ("games", "news", "mail", "daemon", "www-data") if (entry := _entry(name))]
    accounts = [Account(entry.pw_name, entry.pw_uid, entry.pw_gid) for entry in found]
    able = [account for account in accounts if _run(account, "import threada_site.postgres").returncode == 0]
    if len(able) < 2:
        pytest.skip("no two unprivileged accounts can read this checkout and its environment, as below /root")
    return able[0], able[1]


def _cleared(parent: Path, root: Path) -> Iterator[Path]:
    yield root
    stop(root)
    shutil.rmtree(service_home(root), ignore_errors=True)
    shutil.rmtree(parent)


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _run(account: Account, code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, **account.identity)


def _modes(*paths: Path) -> dict[Path, tuple[int, int, int]]:
    """Return mode, owner and group of each path and of its parents."""
    above = {parent for path in paths for parent in (path, *path.parents)}
    return {path: (found.st_mode, found.st_uid, found.st_gid) for path in above if (found := path.stat())}


def _value(cluster: Cluster) -> int:
    with psycopg.connect(cluster.url(user="postgres", dbname="postgres")) as connection:
        row = connection.execute("SELECT 42").fetchone()
    assert row is not None
    return int(row[0])


def test_server_belongs_to_the_user_or_to_a_service_account(open_root: Path) -> None:
    cluster = ensure_running(open_root)
    server = psutil.Process(cluster.pid)
    uids = {process.uids().effective for process in [server, *server.children()]}
    owners = {path.lstat().st_uid for path in [cluster.data_dir, cluster.socket_dir, *cluster.data_dir.rglob("*")]}

    assert cluster.data_dir == open_root / "postgres" / "data"
    assert len(uids) == 1
    assert uids == owners
    assert uids == {os.geteuid()} if os.geteuid() else uids != {0}
    assert stat.S_IMODE(cluster.socket_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(cluster.data_dir.stat().st_mode) == 0o700
    assert _value(cluster) == 42


@needs_root
def test_root_starts_the_server_of_a_user_without_taking_ownership(
    open_root: Path, users: tuple[Account, Account]
) -> None:
    user, _ = users
    open_root.mkdir()
    user.own(open_root)
    first = _run(user, START, open_root)
    assert first.returncode == 0, first.stderr
    server = psutil.Process(int(first.stdout))
    assert server.uids().effective == user.uid
    assert {path.lstat().st_uid for path in open_root.rglob("*")} == {user.uid}

    cluster = status(open_root)
    assert cluster is not None
    assert _value(cluster) == 42
    server.kill()
    server.wait(10)
    recovered = ensure_running(open_root)
    assert psutil.Process(recovered.pid).uids().effective == user.uid
    stop(open_root)

    again = _run(user, START, open_root)
    assert again.returncode == 0, again.stderr
    assert psutil.Process(int(again.stdout)).uids().effective == user.uid


@needs_root
def test_ordinary_user_is_refused_in_the_data_directory_of_root(
    open_root: Path, users: tuple[Account, Account]
) -> None:
    ensure_running(open_root)
    for code in (START, START.replace("print(ensure_running(", "print(status(").replace(").pid)", "))")):
        refused = _run(users[0], code, open_root)
        assert refused.returncode == 1
        assert refused.stderr.startswith("DirectoryNotOurs: ")
        assert "THREADA_DATA_DIR" in refused.stderr


@needs_root
def test_other_user_is_refused_by_directory_mode_and_peer_authentication(
    open_root: Path, users: tuple[Account, Account]
) -> None:
    cluster = ensure_running(open_root)
    url = cluster.url(user="postgres", dbname="postgres")
    assert "Permission denied" in _run(users[1], CONNECT, url).stderr

    cluster.socket_dir.chmod(0o777)
    (cluster.socket_dir / ".s.PGSQL.5432").chmod(0o777)
    assert "Peer authentication failed" in _run(users[1], CONNECT, url).stderr
    with pytest.raises(DirectoryNotOurs, match="Find out who created it"):
        ensure_running(open_root)
    cluster.socket_dir.chmod(0o700)
    assert _value(ensure_running(open_root)) == 42


@needs_root
def test_socket_directory_of_another_user_is_refused(open_root: Path, users: tuple[Account, Account]) -> None:
    cluster = ensure_running(open_root)
    stop(open_root)
    cluster.socket_dir.mkdir(mode=0o700)
    users[1].own(cluster.socket_dir)
    try:
        with pytest.raises(DirectoryNotOurs, match="is not a directory that only user id"):
            ensure_running(open_root)
    finally:
        cluster.socket_dir.rmdir()


@needs_root
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_mode_of_a_closed_parent_is_not_changed(closed_root: Path, umask: int) -> None:
    closed_root.mkdir()
    before = _modes(closed_root, locate().postgres)
    old = os.umask(umask)
    try:
        cluster = ensure_running(closed_root)
    finally:
        os.umask(old)

    assert _modes(closed_root, locate().postgres) == before
    assert cluster.data_dir == service_home(closed_root) / "data"
    assert stat.S_IMODE(cluster.data_dir.stat().st_mode) == 0o700
    assert _value(cluster) == 42
    assert sorted(path.name for path in closed_root.iterdir()) == ["postgres.location", "postgres.lock"]

    (closed_root / "postgres.location").unlink()  # the path alone leads there too
    assert ensure_running(closed_root) == cluster
    stop(closed_root)
    assert not cluster.socket_dir.exists()


@needs_root
def test_unreachable_binaries_are_copied_and_keep_their_mode(open_root: Path, closed_root: Path) -> None:
    closed_root.mkdir(mode=0o700)
    installed = locate().site
    shutil.copytree(installed / PACKAGE, closed_root / PACKAGE, symlinks=True)
    shutil.copytree(installed / SHARED_LIBRARIES, closed_root / SHARED_LIBRARIES)
    for path in closed_root.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    before = _modes(*closed_root.rglob("*"))
    environment = os.environ | {"PYTHONPATH": str(closed_root)}
    command = [sys.executable, "-c", START, str(open_root)]
    first = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, env=environment)
    assert first.returncode == 0, first.stderr

    cluster = status(open_root)
    assert cluster is not None
    home = service_home(open_root)
    assert cluster.data_dir == home / "data"
    assert psutil.Process(cluster.pid).exe().startswith(f"{home}/install-18.")
    assert {path.lstat().st_uid for path in home.glob("install-*/**/*")} == {0}
    assert _modes(*closed_root.rglob("*")) == before
    assert _value(cluster) == 42


@needs_root
def test_parent_closed_after_the_first_start_is_reported(open_root: Path) -> None:
    ensure_running(open_root)
    stop(open_root)
    open_root.parent.chmod(0o700)
    with pytest.raises(DirectoryNotOurs, match="can no longer enter it"):
        ensure_running(open_root)
    assert stat.S_IMODE(open_root.parent.stat().st_mode) == 0o700


@needs_root
def test_root_without_ptrace_capability_as_in_a_container(open_root: Path) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv, which takes the capability away, is not installed")

    def start() -> int:
        command = [setpriv, "--bounding-set=-sys_ptrace", sys.executable, "-c", START, str(open_root)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout)

    first = start()
    assert start() == first
    server = psutil.Process(first)
    server.kill()
    server.wait(10)
    second = start()
    assert second != first
    assert start() == second


@needs_root
def test_server_inherits_no_secret(open_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANK_TOKEN", "hunter2")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    cluster = ensure_running(open_root)
    inherited = psutil.Process(cluster.pid).environ()
    assert inherited.get("LC_ALL") == "C"
    assert {"BANK_TOKEN", "PGDATA", "HOME"}.isdisjoint(inherited)
