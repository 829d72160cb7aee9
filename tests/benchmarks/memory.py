"""Idle memory of all processes of `manage.py up`, PostgreSQL included, and their transactions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg

from tests.benchmarks.figures import Figure
from tests.benchmarks.instance import running_instance
from tests.benchmarks.load import Connection, request_bytes
from tests.benchmarks.world import BODY
from threada_site import postgres

AIM_MB = 380
SECONDS_AT_REST = 30  # pools close a connection that was idle for ten seconds, one at a time
SECONDS_COUNTED = 20


def measure(data_dir: Path, *, port: int) -> Iterator[Figure]:
    """Measure proportional set sizes (shared pages are counted once) after twenty requests and a pause."""
    import json

    with running_instance(data_dir, port=port) as instance:
        connection = Connection(port)
        headers = {"Authorization": f"Bearer {instance.token}", "Accept": "application/json"}
        for _ in range(20):
            status, body = connection.exchange(request_bytes("POST", "/work-items", headers, json.dumps(BODY)))
            assert status == 201, body
        time.sleep(SECONDS_AT_REST)
        before = _transactions(data_dir)
        time.sleep(SECONDS_COUNTED)
        a_second = (_transactions(data_dir) - before) / SECONDS_COUNTED
        server = postgres.ensure_running(data_dir)
        ours = [instance.process, *instance.process.children(recursive=True)]
        theirs = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        sizes = {f"{_name(process)} ({process.pid})": sizes_mb(process.pid) for process in (*ours, *theirs)}
    for name, (pss, rss) in sizes.items():
        print(f"    {name:<40} PSS {pss:6.1f} MB  RSS {rss:6.1f} MB")
    total, resident = (sum(size[which] for size in sizes.values()) for which in (0, 1))
    yield Figure(
        name="memory at rest of `up` with PostgreSQL (PSS)",
        value=f"{total:.0f} MB",
        beside=f"RSS, shared pages counted many times {resident:.0f} MB",
        aim=f"<= {AIM_MB} MB",
        is_met=total <= AIM_MB,
    )
    yield Figure(name="transactions a second at rest, sealer included", value=f"{a_second:.0f}")


def _transactions(data_dir: Path) -> int:
    """Return the number of committed transactions; PostgreSQL counts some a second late."""
    from threada_site.database.bootstrap import EMBEDDED_DATABASE  # reads settings, which a world sets first

    server = postgres.ensure_running(data_dir)
    with psycopg.connect(**server.conninfo(user=server.superuser, dbname=EMBEDDED_DATABASE)) as superuser:
        counted = superuser.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
        (committed,) = counted.fetchone() or (0,)
    return int(committed)


def _name(process: psutil.Process) -> str:
    line = " ".join(process.cmdline())
    for word in ("runtime.web.server", "manage.py worker", "manage.py sealer", "runtime.supervisor", "postgres:"):
        if word in line:
            return word if word != "postgres:" else line[:32]
    return Path(process.exe()).name if process.cmdline() else process.name()


def sizes_mb(pid: int) -> tuple[float, float]:
    """Return PSS and RSS in MB from /proc."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:] if ":" in line
    )
    pss, rss = (int(fields[name].split()[0]) / 1024 for name in ("Pss", "Rss"))
    return pss, rss
