"""`up` with separate database logins and, started as root, separate accounts of web, worker and sealer."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from telemetry.receipts.keyring import ReceiptKeyring
from telemetry.receipts.signature import SignedBody, origins_of
from tests.adversarial.server import REPOSITORY, Server, running_server
from tests.adversarial.waiting import until
from tests.databases.template import SOURCES
from tests.ports import free_port
from threada_site import postgres
from threada_site.database.bootstrap import EMBEDDED_DATABASE
from threada_site.kernel import ids
from threada_site.postgres.home import service_home
from threada_site.runtime.accounts import accounts_of

pytestmark = [
    pytest.mark.adversarial,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can run processes under other accounts"),
]
ROLES = ("threada_platform", "threada_owner", "threada_platform_gate", "threada_platform_login", "postgres")
TAKE_ROLES = f"""
import sys, psycopg
for role in {ROLES}:
    with psycopg.connect(sys.argv[1]) as connection:
        try: connection.execute(f"SET ROLE {{role}}"); print("took", role)
        except psycopg.errors.InsufficientPrivilege: pass
"""
CONNECT = "import sys, psycopg; print(psycopg.connect(sys.argv[1]).execute('SELECT session_user').fetchone()[0])"
READ = "import sys; print(len(open(sys.argv[1]).read()))"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Create a folder that every account can enter, unlike pytest's own."""
    made = Path(tempfile.mkdtemp(prefix="threada-accounts-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    postgres.stop(made / "data")
    shutil.rmtree(service_home(made / "data"), ignore_errors=True)
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """Run `up` on a data directory in which everything belongs to root, as an earlier version left it."""
    before = {**os.environ, "THREADA_DATA_DIR": str(folder / "data")}
    for words in (["migrate", "-v", "0"], ["create_tenant", "acme"], ["sealer", "--once"]):
        subprocess.run([sys.executable, "manage.py", *words], check=True, cwd=REPOSITORY, env=before, timeout=120)
    with running_server(folder, THREADA_EXPORT_DIR="") as running:
        if "run as root" in running.log.read_text():
            pytest.skip("unprivileged accounts cannot read this checkout and its environment, as below /root")
        yield running


def processes(server: Server) -> dict[str, psutil.Process]:
    """Return web, worker and sealer once all of them run: a worker that lost its database is started again."""
    found: dict[str, psutil.Process] = {}

    def all_run() -> bool:
        found.clear()
        found.update(zip(["web"], server.web_processes(), strict=False))
        for process in psutil.Process(server.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                found.update({name: process for name in ("worker", "sealer") if name in process.cmdline()})
        return len(found) == 3

    until(all_run)
    return found


def run_as(server: Server, name: str, code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    account = accounts_of(Path(server.environment["THREADA_DATA_DIR"])).by_process[name]
    command = [sys.executable, "-B", "-c", code, *map(str, arguments)]
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd="/", env=environment, **asdict(account)
    )


def test_web_worker_and_sealer_have_different_unprivileged_accounts(server: Server) -> None:
    found = processes(server)
    uids = {name: set(process.uids()) for name, process in found.items()}
    assert sorted(uids) == ["sealer", "web", "worker"]
    assert len(set.union(*uids.values())) == 3
    assert 0 not in set.union(*uids.values())
    assert {process.uids().real for process in server.web_processes()} == uids["web"]
    groups = {name: set(_groups(process)) for name, process in found.items()}
    assert 0 not in set.union(*groups.values())


def test_each_process_reads_its_own_keys_only(server: Server) -> None:
    keys = Path(server.environment["THREADA_DATA_DIR"]) / "keys"
    readable = {
        (name, key)
        for name in ("web", "worker", "sealer")
        for key in ("sealing_key", "secret_key", "secrets_key", "people_key")
        if run_as(server, name, READ, keys / key).returncode == 0
    }
    assert readable == {("sealer", "sealing_key")} | {
        (name, key) for name in ("web", "worker") for key in ("secret_key", "secrets_key", "people_key")
    }
    assert {
        (name, role)
        for name in ("web", "worker", "sealer")
        for role in ("web", "worker", "command")
        if run_as(server, name, READ, keys / f"receipt_key_{role}").returncode == 0
    } == {("web", "web"), ("worker", "worker")}
    for name in ("web", "worker", "sealer"):
        assert run_as(server, name, READ, keys / "receipt_public_keys").returncode == 0
        written = run_as(server, name, "import sys; open(sys.argv[1], 'a')", keys / "receipt_public_keys")
        assert "PermissionError" in written.stderr
    for name in ("web", "worker"):
        assert "PermissionError" in run_as(server, name, READ, keys.parent / "database-logins.json").stderr
        removed = run_as(server, name, "import sys, os; os.unlink(sys.argv[1])", keys / "sealing_key")
        assert "PermissionError" in removed.stderr


def test_login_of_the_web_takes_no_role(server: Server) -> None:
    url = processes(server)["web"].environ()["DATABASE_URL"]
    assert run_as(server, "web", CONNECT, url).stdout == "threada_app\n"
    taken = run_as(server, "web", TAKE_ROLES, url)
    assert (taken.returncode, taken.stdout) == (0, "")


def test_web_cannot_connect_as_another_login(server: Server) -> None:
    found = processes(server)
    own, workers = found["web"].environ(), found["worker"].environ()
    assert "THREADA_PLATFORM_DATABASE_URL" not in own
    assert "DATABASE_URL" not in workers
    url = workers["THREADA_PLATFORM_DATABASE_URL"]
    password = url.split(":")[2].partition("@")[0]
    assert run_as(server, "worker", CONNECT, url).stdout == "threada_platform_login\n"
    assert password not in str(own)
    foreign = own["DATABASE_URL"].replace("threada_app:", "threada_platform_login:")
    assert "password authentication failed" in run_as(server, "web", CONNECT, foreign).stderr
    without = url.replace(f":{password}", "")
    assert "no password supplied" in run_as(server, "web", CONNECT, without).stderr
    superuser = without.replace("threada_platform_login", "postgres")
    assert "eer authentication failed" in run_as(server, "web", CONNECT, superuser).stderr
    peek = "import sys; open(f'/proc/{sys.argv[1]}/environ').read()"
    assert "PermissionError" in run_as(server, "web", peek, found["worker"].pid).stderr


def test_account_outside_of_the_instance_does_not_reach_the_server(server: Server) -> None:
    url = processes(server)["web"].environ()["DATABASE_URL"]
    nobody = pwd.getpwnam("nobody")
    command = [sys.executable, "-B", "-c", CONNECT, url]
    refused = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd="/", env={}, user=nobody.pw_uid, group=nobody.pw_gid,
        extra_groups=[],
    )  # fmt: skip
    assert "Permission denied" in refused.stderr


def test_exports_are_written_by_the_worker_and_read_by_the_web(server: Server) -> None:
    asked = server.send("POST", "/telemetry/exports", b"{}")
    assert asked.status == 202, asked.body
    path = f"/telemetry/exports/{asked.json()['export_id']}"
    ends = time.monotonic() + 60
    while (state := server.send("GET", path).json())["status"] not in ("ready", "succeeded", "failed"):
        assert time.monotonic() < ends, state
        time.sleep(0.2)
    assert state["status"] != "failed", state
    assert server.send("GET", f"{path}/download").status == 200


def test_keys_rotated_by_root_keep_their_reader(server: Server) -> None:
    sealing_key = Path(server.environment["THREADA_DATA_DIR"]) / "keys" / "sealing_key"
    secrets_key = sealing_key.with_name("secrets_key")
    paths = [sealing_key, secrets_key, *sealing_key.parent.glob("receipt_*")]
    before = {path: _owner(path) for path in paths}
    assert len(before) == 6
    server.manage("rotate_secrets", "--new-key")
    server.manage("rotate_sealing_key")
    server.manage("receipt_keys", "rotate")
    assert {path: _owner(path) for path in paths} == before


def test_every_receipt_is_signed_by_the_process_that_wrote_it(server: Server) -> None:
    """Also after the rotation, which running processes follow."""
    assert server.send("POST", "/telemetry/exports", b"{}").status == 202
    data = Path(server.environment["THREADA_DATA_DIR"])
    cluster = postgres.status(data)
    assert cluster is not None
    keys = ReceiptKeyring(data / "keys", makes=False).public()
    with psycopg.connect(**cluster.conninfo(user=cluster.superuser, dbname=EMBEDDED_DATABASE)) as database:
        rows = database.execute("SELECT tenant_id, body, signature FROM telemetry_receipt").fetchall()
    found = Counter(
        (origin.state.value, origin.role)
        for tenant, body, signature in rows
        for origin in origins_of(
            [SignedBody(bytes(body), signature)], tenant=ids.public_id(ids.TENANT, tenant), keys=keys
        )
    )
    assert set(found) == {("authentic", role) for role in ("web", "worker", "command")}


def test_restarted_database_admits_the_accounts_again(server: Server) -> None:
    server.kill_the_database()
    ends = time.monotonic() + 60
    while server.send("GET", "/readyz").status != 200:
        assert time.monotonic() < ends
        time.sleep(0.2)
    cluster = postgres.status(Path(server.environment["THREADA_DATA_DIR"]))
    assert cluster is not None
    assert stat.S_IMODE(cluster.socket_dir.stat().st_mode) == 0o710


def test_accounts_stay_the_same(server: Server) -> None:
    data = Path(server.environment["THREADA_DATA_DIR"])
    uids = {name: process.uids().real for name, process in processes(server).items()}
    assert {name: account.user for name, account in accounts_of(data).by_process.items()} == uids


def test_clone_in_a_private_home_is_reported_and_no_mode_changes(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    clone = home / "clone"
    clone.mkdir()
    shutil.copy(REPOSITORY / "manage.py", clone)
    for name in SOURCES:
        shutil.copytree(REPOSITORY / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    before = {path: _owner(path) for path in (clone, *clone.parents)}
    said = _run_up(clone, {**os.environ, "THREADA_DATA_DIR": str(clone / ".threada")})
    postgres.stop(clone / ".threada")
    shutil.rmtree(service_home(clone / ".threada"), ignore_errors=True)
    assert "Warning: web, worker and sealer run as root" in said
    assert f"they cannot read the code in {clone}" in said
    assert "Threada is ready." in said
    assert {path: _owner(path) for path in before} == before


def test_ordinary_user_runs_all_processes_with_two_logins(folder: Path) -> None:
    user = next(pwd.getpwnam(name) for name in ("games", "news", "mail", "daemon"))
    data = folder / "of-a-user"
    data.mkdir()
    os.chown(data, user.pw_uid, user.pw_gid)
    account: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    environment = {**os.environ, "THREADA_DATA_DIR": str(data), "HOME": "/nonexistent", "THREADA_EXPORT_DIR": ""}
    said = _run_up(REPOSITORY, environment, look=lambda: _take_roles(data, account), **account)
    if "PermissionError" in said:
        pytest.skip("no ordinary user can read this checkout and its environment, as below /root")
    assert "Warning" not in said
    assert "Threada is ready." in said
    assert "threada_app\n" in said
    assert "took" not in said
    assert {path.stat().st_uid for path in data.rglob("*")} == {user.pw_uid}


def _take_roles(data: Path, account: dict[str, Any]) -> str:
    cluster = postgres.status(data)
    assert cluster is not None
    url = cluster.url(user="threada_app", dbname="threada")
    return "".join(
        subprocess.run(
            [sys.executable, "-B", "-c", code, url], capture_output=True, text=True, check=True, cwd="/", **account
        ).stdout
        for code in (CONNECT, TAKE_ROLES)
    )


def _run_up(base: Path, environment: dict[str, str], *, look: Any = lambda: "", **account: Any) -> str:
    """Run `up --no-demo` until it is ready, and stop it. Return its output and that of `look`, called meanwhile."""
    environment = {name: value for name, value in environment.items() if name != "DATABASE_URL"}
    command = [sys.executable, "-B", "manage.py", "up", "--no-demo", "--port", str(free_port())]
    with subprocess.Popen(
        command, cwd=base, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **account
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("Ctrl-C stops it"):
                said += look()
                break
        process.terminate()
        return said + process.stdout.read()


def _owner(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


def _groups(process: psutil.Process) -> list[int]:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return [int(word) for line in lines if line.startswith(("Gid:", "Groups:")) for word in line.split()[1:]]
