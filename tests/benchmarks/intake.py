"""Intake next to the minimal insert: two web processes, eight clients, alternating, on the same database server."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

import psutil
import psycopg

from tests.benchmarks.figures import Figure
from tests.benchmarks.load import Orders, Round, run
from tests.benchmarks.servers import BARE, PRODUCT, web_server
from tests.benchmarks.world import World
from threada_site import postgres

PROCESSES = 2
CLIENTS = 8
AIM = 0.55


def measure(world: World, *, rounds: int, seconds: float) -> Iterator[Figure]:
    """Measure both servers in alternating rounds. Yield medians of the rounds."""
    environment = bare_database(world)
    ours = Orders(world.port, "POST", "/work-items", world.headers, world.body, seconds, 201)
    bare = Orders(world.port + 1, "POST", "/items", {"Accept": "application/json"}, world.body, seconds, 201)
    database = psutil.Process(postgres.ensure_running(world.data_dir).pid)
    with (
        web_server(PRODUCT, port=ours.port, processes=PROCESSES) as ours_web,
        web_server(BARE, port=bare.port, processes=PROCESSES, environment=environment) as bare_web,
    ):
        for warming in (ours, bare):
            run(warming, clients=CLIENTS)
        pairs = [(loaded(bare, bare_web, database), loaded(ours, ours_web, database)) for _ in range(rounds)]
    yield from _figures([(bare_round, ours_round) for (bare_round, _), (ours_round, _) in pairs])
    cost, beside = (statistics.median(pair[side][1] for pair in pairs) for side in (1, 0))
    yield Figure(
        name="intake, processor time of web and PostgreSQL",
        value=f"{cost:.2f} ms",
        beside=f"bare DRF {beside:.2f} ms",
        ratio=beside / cost,
    )


def loaded(orders: Orders, web: psutil.Process, database: psutil.Process) -> tuple[Round, float]:
    """Return a round, and the milliseconds of processor time per request of web server and database server."""
    before = _processor_seconds(web) + _processor_seconds(database)
    seen = run(orders, clients=CLIENTS)
    used = _processor_seconds(web) + _processor_seconds(database) - before
    return seen, used * 1000 / (seen.per_second * orders.seconds)


def _processor_seconds(process: psutil.Process) -> float:
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system
    return total


def _figures(pairs: list[tuple[Round, Round]]) -> Iterator[Figure]:
    ratios = [ours.per_second / bare.per_second for bare, ours in pairs]
    ratio = statistics.median(ratios)
    yield Figure(
        name=f"intake, creates/s (rounds {min(ratios):.2f} to {max(ratios):.2f})",
        value=f"{statistics.median(ours.per_second for _, ours in pairs):.0f}/s",
        beside=f"bare DRF {statistics.median(bare.per_second for bare, _ in pairs):.0f}/s",
        ratio=ratio,
        aim=f">= {AIM}",
        is_met=ratio >= AIM,
    )
    for name in ("p50", "p99"):
        value = statistics.median(getattr(ours, name) for _, ours in pairs)
        beside = statistics.median(getattr(bare, name) for bare, _ in pairs)
        yield Figure(
            name=f"intake, {name}",
            value=f"{value:.1f} ms",
            beside=f"bare DRF {beside:.1f} ms",
            ratio=value / beside,
        )


def bare_database(world: World) -> dict[str, str]:
    """Create a database and login for the minimal insert. Return the environment that names them."""
    with psycopg.connect(**world.superuser("postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'bare'").fetchone():
            connection.execute("CREATE ROLE bare LOGIN")
            connection.execute("CREATE DATABASE bare OWNER bare")
    address = world.superuser("bare")
    environment = {
        "BARE_DATABASE": "bare",
        "BARE_USER": "bare",
        "BARE_HOST": str(address["host"]),
        "BARE_PORT": str(address["port"]),
    }
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity=0"],
        env={**os.environ, **environment, "DJANGO_SETTINGS_MODULE": "tests.benchmarks.bare.settings"},
        check=True,
    )
    return environment
