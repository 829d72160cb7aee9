"""Creates and effects per second with one, two and four processes, on both engines, next to minimal programs.

Also the cost in PostgreSQL per work item.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg

from tests.benchmarks import effects
from tests.benchmarks.figures import Figure
from tests.benchmarks.intake import CLIENTS, bare_database
from tests.benchmarks.load import Connection, Orders, request_bytes, run
from tests.benchmarks.servers import BARE, PRODUCT, web_server
from tests.benchmarks.statements import _every_statement_logged, _log_size, _logged
from tests.benchmarks.world import World
from tests.broker import PROGRAM
from tests.receivers.fixtures import Receiver

PROCESSES: Final = (1, 2, 4)
QUEUED: Final = 400
ROUNDS: Final = 3
SAMPLE: Final = 300
LOGGED: Final = 20
_SECONDS_TO_SETTLE: Final = 3.0


def measure(world: World, *, rounds: int, seconds: float) -> Iterator[Figure]:
    """Measure creates, effects, and their writes."""
    for figure in _measured(world, rounds=rounds, seconds=seconds):
        print(f"    {figure.name}: {figure.value} {figure.beside} (load average {os.getloadavg()[0]:.1f})", flush=True)
        yield figure


def _measured(world: World, *, rounds: int, seconds: float) -> Iterator[Figure]:
    """Measure effects, then creates. Each create leaves a job that workers would have to run first."""
    with tempfile.TemporaryDirectory(prefix="threada-receiver-") as folder:
        receiver = Receiver(Path(folder))
        try:
            effects._put_bank(receiver.url)
            yield from _effects(world, receiver, environment={}, engine="procrastinate")
            if PROGRAM.exists():
                with effects._celery(Path(folder)) as environment:
                    yield from _effects(world, receiver, environment=environment, engine="celery")
            yield from _carried(world, receiver)
        finally:
            receiver.stop()
    yield from _creates(world, rounds=min(rounds, ROUNDS), seconds=seconds)


def _creates(world: World, *, rounds: int, seconds: float) -> Iterator[Figure]:
    environment = bare_database(world)
    ours = Orders(world.port, "POST", "/work-items", world.headers, world.body, seconds, 201)
    bare = Orders(world.port + 1, "POST", "/items", {"Accept": "application/json"}, world.body, seconds, 201)
    for count in PROCESSES:
        with (
            web_server(PRODUCT, port=ours.port, processes=count),
            web_server(BARE, port=bare.port, processes=count, environment=environment),
        ):
            for warming in (ours, bare):
                run(warming, clients=CLIENTS)
            pairs = [(run(bare, clients=CLIENTS), run(ours, clients=CLIENTS)) for _ in range(rounds)]
        speed, beside = (statistics.median(pair[side].per_second for pair in pairs) for side in (1, 0))
        yield Figure(
            name=f"creates/s, {count} web process{'es' if count > 1 else ''}",
            value=f"{speed:.0f}/s",
            beside=f"bare DRF {beside:.0f}/s",
            ratio=statistics.median(ours.per_second / bare.per_second for bare, ours in pairs),
        )


def _effects(world: World, receiver: Receiver, *, environment: dict[str, str], engine: str) -> Iterator[Figure]:
    for count in PROCESSES:
        bare = effects._bare_per_second(receiver)
        before = len(receiver.requests("/payments"))
        sessions = _sessions(world)
        for _ in range(QUEUED):
            effects._execute()
        with effects._workers(count, environment):
            arrived = receiver.wait_for(before + QUEUED, path="/payments", timeout_s=300)[before:]
            held = _sessions(world) - sessions
            time.sleep(_SECONDS_TO_SETTLE)
        # The first quarter is dropped: workers start one after another.
        speed = effects._per_second(arrived[QUEUED // 4 :])
        yield Figure(
            name=f"effects/s, {engine}, {count} worker{'s' if count > 1 else ''} ({held / count:.0f} connections each)",
            value=f"{speed:.0f}/s",
            beside=f"bare httpx loop {bare:.0f}/s",
            ratio=speed / bare,
        )


def _carried(world: World, receiver: Receiver) -> Iterator[Figure]:
    """Measure the cost in PostgreSQL of a create, without and with its effect. Sealing adds two rows per receipt."""
    with effects.running_worker({}):
        _wait_until_idle(world)
        written, begun = effects._wal(world), time.monotonic()
        time.sleep(_SECONDS_TO_SETTLE)
        idle = (effects._wal(world) - written) / (time.monotonic() - begun)
        written, begun = effects._wal(world), time.monotonic()
        _pay(receiver, SAMPLE)
        bytes_written = effects._wal(world) - written - idle * (time.monotonic() - begun)
        yield Figure(
            name="WAL of a create with decision, execution and effect",
            value=f"{bytes_written / SAMPLE / 1000:.1f} kB",
            beside=f"an idle worker writes {idle / 1000:.1f} kB/s",
        )
    yield from _statements(world, receiver)
    request = request_bytes("POST", "/work-items", world.headers, world.body)
    with web_server(PRODUCT, port=world.port, processes=1):
        connection = Connection(world.port)
        for _ in range(20):
            connection.exchange(request)
        begun = effects._wal(world)
        for _ in range(SAMPLE):
            assert connection.exchange(request)[0] == 201
        yield Figure(name="WAL of a create", value=f"{(effects._wal(world) - begun) / SAMPLE / 1000:.1f} kB")


def _statements(world: World, receiver: Receiver) -> Iterator[Figure]:
    """Count statements in PostgreSQL's log, without those of an idle worker."""
    from django.db import connection

    with _every_statement_logged(world):
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]
        with effects.running_worker({}):
            _wait_until_idle(world)
            at, begun = _log_size(world), time.monotonic()
            time.sleep(_SECONDS_TO_SETTLE)
            idle = len(_logged(world, at)) / (time.monotonic() - begun)
            at, begun = _log_size(world), time.monotonic()
            _pay(receiver, LOGGED)
            took = time.monotonic() - begun
            count = len(_logged(world, at)) - idle * took
    yield Figure(
        name="statements of a create with decision, execution and effect",
        value=f"{count / LOGGED:.0f}",
        beside=f"an idle worker asks {idle:.1f}/s",
    )


def _pay(receiver: Receiver, count: int) -> None:
    before = len(receiver.requests("/payments"))
    for _ in range(count):
        effects._execute()
    receiver.wait_for(before + count, path="/payments", timeout_s=300)
    time.sleep(1)  # wait for the last ones


def _wait_until_idle(world: World) -> None:
    """Wait until a worker has connected and earlier jobs are done."""
    sessions = _sessions(world)
    deadline = time.monotonic() + 60
    while _sessions(world) <= sessions and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(_SECONDS_TO_SETTLE)


def _sessions(world: World) -> int:
    return _asked(
        world, "SELECT count(*) FROM pg_stat_activity WHERE usename IN ('threada_app', 'threada_platform_login')"
    )


def _asked(world: World, query: str) -> int:
    with psycopg.connect(**world.superuser()) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(row[0])
