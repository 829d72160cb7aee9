"""The embedded PostgreSQL with killed processes, stale files, unusual paths and many concurrent starters.

Every test starts real servers and processes. Tests with two operating system users are in
`test_embedded_postgres_users.py`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from threada_site.postgres import Cluster, ensure_running, status, stop
from threada_site.postgres.account import account_for
from threada_site.postgres.home import find_home, service_home
from threada_site.postgres.postmaster import is_alive, wait_until

pytestmark = pytest.mark.adversarial

REPOSITORY = Path(__file__).parents[2]
START = "import sys; from pathlib import Path; from threada_site.postgres import ensure_running; "
SAY_PID = START + "print(ensure_running(Path(sys.argv[1])).pid)"
INSERT = START + (
    "import os, psycopg; cluster = ensure_running(Path(sys.argv[1])); first, count = map(int, sys.argv[3:])\n"
    "record = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)\n"
    "with psycopg.connect(cluster.url(user='postgres', dbname='postgres'), autocommit=True) as connection:\n"
    "    for number in range(first, first + count):\n"
    "        connection.execute('INSERT INTO acknowledged VALUES (%s)', [number])\n"
    "        os.write(record, b'%d\\n' % number)\n"
)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "data"
    yield path
    stop(path)
    shutil.rmtree(service_home(path.resolve()), ignore_errors=True)


def python(code: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY, **options
    )  # type: ignore[call-overload,no-any-return]


def answer(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output.strip()


def acknowledged_in(record: Path) -> set[int]:
    """Return the rows whose commit a writer received and recorded."""
    return {int(line) for line in record.read_text().splitlines()} if record.exists() else set()


def connect(cluster: Cluster) -> psycopg.Connection:
    return psycopg.connect(cluster.url(user=cluster.superuser, dbname="postgres"), autocommit=True)


def make_table(root: Path) -> Cluster:
    cluster = ensure_running(root)
    with connect(cluster) as connection:
        connection.execute("CREATE TABLE acknowledged (number integer PRIMARY KEY)")
    return cluster


def rows(root: Path) -> set[int]:
    with connect(ensure_running(root)) as connection:
        return {number for (number,) in connection.execute("SELECT number FROM acknowledged").fetchall()}


def postmasters(root: Path) -> list[int]:
    """Return every server of the data directory of `root`, by command line, which a child shows right after its
    fork."""
    data_dir = f"{find_home(root.resolve())}/data"
    processes = {process.pid: process.info for process in psutil.process_iter(["cmdline", "ppid"])}
    found = [pid for pid, info in processes.items() if (info["cmdline"] or [])[1:3] == ["-D", data_dir]]
    return [pid for pid in found if processes[pid]["ppid"] not in found]


def kill_server(cluster: Cluster) -> None:
    os.kill(cluster.pid, signal.SIGKILL)
    assert wait_until(lambda: not psutil.pid_exists(cluster.pid), 10)


def kill_family(cluster: Cluster) -> None:
    """Kill the server and all its processes at once, without cleanup, as in a power failure."""
    server = psutil.Process(cluster.pid)
    family = [server, *server.children(recursive=True)]
    server.suspend()
    for process in reversed(family):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    assert wait_until(lambda: not any(is_alive(process) for process in family), 10)


def test_killing_a_client_loses_nothing_and_leaves_the_server_running(root: Path, tmp_path: Path) -> None:
    cluster = make_table(root)
    record = tmp_path / "record"
    writer = python(INSERT, root, record, 0, 1_000_000)
    assert wait_until(lambda: len(acknowledged_in(record)) > 200, 120)
    writer.kill()
    writer.communicate()

    assert acknowledged_in(record) <= rows(root)
    assert status(root) == cluster


@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
def test_killing_the_starter_at_any_moment_of_the_first_start(root: Path, seconds: float) -> None:
    starter = python(SAY_PID, root)
    time.sleep(seconds)
    starter.kill()
    starter.communicate()

    cluster = ensure_running(root)
    assert postmasters(root) == [cluster.pid]
    make_table(root)
    assert rows(root) == set()
    assert sorted(path.name for path in cluster.data_dir.parent.glob("data*")) == ["data"]


def test_killing_the_server_loses_no_acknowledged_row(root: Path, tmp_path: Path) -> None:
    cluster = make_table(root)
    records = [tmp_path / f"record-{number}" for number in range(12)]
    for turn in range(3):
        running = range(turn * 4, turn * 4 + 4)
        writers = [python(INSERT, root, records[number], number * 1_000_000, 1_000_000) for number in running]
        assert wait_until(lambda running=running: all(len(acknowledged_in(records[n])) > 50 for n in running), 120)
        kill_server(cluster)
        before = time.monotonic()
        recovered = ensure_running(root)
        assert time.monotonic() - before < 30
        for writer in writers:
            errors = writer.communicate(timeout=60)[1]
            assert "psycopg.errors." in errors or "psycopg.OperationalError" in errors
        assert set().union(*map(acknowledged_in, records)) <= rows(root)
        assert postmasters(root) == [recovered.pid] != [cluster.pid]
        cluster = recovered


def test_busy_backend_of_a_dead_server_does_not_block_the_next(root: Path) -> None:
    cluster = make_table(root)
    connection = connect(cluster)
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    backend = psutil.Process(row[0])
    busy = "DO $$ DECLARE n bigint := 0; BEGIN LOOP n := n + 1; END LOOP; END $$"
    outcome: list[BaseException] = []

    def compute() -> None:
        try:
            connection.execute(busy)
        except psycopg.OperationalError as error:
            outcome.append(error)

    thread = threading.Thread(target=compute)
    thread.start()
    assert wait_until(lambda: backend.cpu_times().user > 0.2, 10)
    kill_server(cluster)
    assert status(root) is None
    assert is_alive(backend)

    assert rows(root) == set()
    assert not is_alive(backend)
    thread.join(10)
    assert len(outcome) == 1


@pytest.mark.parametrize(
    "name",
    ["with spaces, a comma and 'quotes'", '$HOME `id` "%s"', "längerer Pfad", "x" * 120, "y" * 120 + "/" + "z" * 120],
)
def test_server_runs_in_unusual_and_long_paths(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    try:
        cluster = make_table(root)
        assert len(os.fsencode(cluster.socket_dir / ".s.PGSQL.5432")) <= 107
        kill_server(cluster)
        assert rows(root) == set()
    finally:
        stop(root)
        shutil.rmtree(service_home(root.resolve()), ignore_errors=True)


@pytest.mark.parametrize("locale", ["xx_YY.UTF-8", "de_DE@nonsense", ""])
def test_unknown_locale_is_ignored(root: Path, locale: str) -> None:
    names = ("LC_ALL", "LANG", "LC_MESSAGES", "LANGUAGE")
    settings = dict.fromkeys(names, locale) | {"PGDATA": "/nonexistent", "PGPORT": "1", "TZ": "Nowhere/Nothing"}
    assert int(answer(python(SAY_PID, root, env=os.environ | settings))) == ensure_running(root).pid


def test_eight_concurrent_first_starts_create_one_server(root: Path) -> None:
    starters = [python(SAY_PID, root) for _ in range(8)]
    pids = {int(answer(starter)) for starter in starters}
    assert pids == {ensure_running(root).pid}
    assert postmasters(root) == list(pids)


def test_eight_processes_after_a_crash_start_one_server(root: Path) -> None:
    kill_family(make_table(root))
    starters = [python(SAY_PID, root) for _ in range(8)]
    pids = {int(answer(starter)) for starter in starters}
    assert postmasters(root) == list(pids) == [ensure_running(root).pid]


def test_many_processes_share_one_server(root: Path) -> None:
    cluster = make_table(root)
    for writer in [python(INSERT, root, os.devnull, number * 100, 100) for number in range(8)]:
        answer(writer)
    assert rows(root) == set(range(800))
    assert postmasters(root) == [cluster.pid]


def test_ctrl_c_and_hang_up_do_not_reach_the_server(root: Path) -> None:
    # When tests run in the background, these signals may be inherited as ignored.
    heeding = "import signal; [signal.signal(n, signal.SIG_DFL) for n in (signal.SIGINT, signal.SIGHUP)]; "
    code = heeding + SAY_PID + "; sys.stdout.flush(); import time; time.sleep(60)"
    terminal = python(code, root, start_new_session=True)
    assert terminal.stdout is not None
    pid = int(terminal.stdout.readline())
    for number in (signal.SIGINT, signal.SIGHUP):
        os.killpg(terminal.pid, number)
    terminal.communicate(timeout=10)

    cluster = status(root)
    assert cluster is not None
    assert cluster.pid == pid
    assert os.getsid(pid) != terminal.pid


def test_clean_stop_leaves_no_process_and_no_socket(root: Path) -> None:
    cluster = make_table(root)
    server = psutil.Process(cluster.pid)
    family = [server, *server.children(recursive=True)]
    with connect(cluster) as connection:  # a connected client does not delay it
        stop(root)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert [process for process in family if is_alive(process)] == []
    assert not cluster.socket_dir.exists()
    assert not (cluster.data_dir / "postmaster.pid").exists()
    assert rows(root) == set()


def test_stale_lock_files_of_a_dead_process(root: Path) -> None:
    cluster = make_table(root)
    kill_family(cluster)
    assert (cluster.data_dir / "postmaster.pid").exists()
    assert (cluster.socket_dir / ".s.PGSQL.5432.lock").exists()
    assert status(root) is None
    assert rows(root) == set()


@pytest.mark.parametrize("state", ["ready", "starting", ""])
def test_pid_reused_by_another_program(root: Path, state: str) -> None:
    cluster = make_table(root)
    kill_family(cluster)
    account = account_for(cluster.data_dir)
    other = subprocess.Popen(["sleep", "600"], **account.identity)
    try:
        for file in (cluster.data_dir / "postmaster.pid", cluster.socket_dir / ".s.PGSQL.5432.lock"):
            lines = file.read_text().splitlines()
            account.write(file, "\n".join([str(other.pid), *lines[1:7], state]) + "\n")
        assert status(root) is None
        assert rows(root) == set()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_pid_reused_by_the_server_of_another_data_directory(root: Path, tmp_path: Path) -> None:
    cluster = make_table(root)
    kill_family(cluster)
    neighbour = ensure_running(tmp_path / "neighbour")
    try:
        file = cluster.data_dir / "postmaster.pid"
        account_for(cluster.data_dir).write(file, f"{neighbour.pid}\n" + file.read_text().partition("\n")[2])
        assert status(root) is None
        assert rows(root) == set()
        assert status(tmp_path / "neighbour") == neighbour
    finally:
        stop(tmp_path / "neighbour")
        shutil.rmtree(service_home((tmp_path / "neighbour").resolve()), ignore_errors=True)


@pytest.mark.parametrize("torn", ["", "\n", "nonsense\n", "-1\n", "99999999999\n"])
def test_incomplete_pid_file(root: Path, torn: str) -> None:
    cluster = make_table(root)
    kill_family(cluster)
    account_for(cluster.data_dir).write(cluster.data_dir / "postmaster.pid", torn)
    assert rows(root) == set()


def test_data_directory_deleted_while_its_server_runs(root: Path) -> None:
    cluster = make_table(root)
    old = psutil.Process(cluster.pid)
    shutil.rmtree(cluster.data_dir)
    assert status(root) is None
    with connect(ensure_running(root)) as connection:
        assert connection.execute("SELECT to_regclass('acknowledged')").fetchone() == (None,)
    assert not is_alive(old)


def test_copy_in_place_of_a_deleted_data_directory(root: Path) -> None:
    cluster = make_table(root)
    with connect(cluster) as connection:
        connection.execute("INSERT INTO acknowledged VALUES (1)")
        connection.execute("CHECKPOINT")
    copy = cluster.data_dir.with_name("copy")
    subprocess.run(["cp", "-a", cluster.data_dir, copy], check=True)
    shutil.rmtree(cluster.data_dir)
    copy.rename(cluster.data_dir)

    assert status(root) is None
    assert rows(root) == {1}
    assert postmasters(root) == [ensure_running(root).pid] != [cluster.pid]


def test_server_with_a_deleted_socket_is_restarted(root: Path) -> None:
    cluster = make_table(root)
    shutil.rmtree(cluster.socket_dir)
    assert status(root) is None
    assert rows(root) == set()
    assert len(postmasters(root)) == 1
