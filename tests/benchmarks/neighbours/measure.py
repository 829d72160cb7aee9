"""Effects per second of plain job queues: procrastinate in the same PostgreSQL, Celery with the same RabbitMQ, Prefect."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg
from psycopg import conninfo

from tests.benchmarks.neighbours import prefect_server, worker
from tests.benchmarks.world import World
from tests.receivers.fixtures import Receiver

DATABASE = "neighbour"
PATH = "/neighbour"


def per_second(world: World, receiver: Receiver, engine: str, *, count: int, broker: str = "") -> float:
    """Queue `count` effects, start one worker, and return how many calls arrive per second."""
    os.environ["NEIGHBOUR_DATABASE"] = _database(world)
    os.environ["NEIGHBOUR_URL"] = f"{receiver.url}{PATH}"
    os.environ["NEIGHBOUR_BROKER"] = broker
    before = len(receiver.requests(PATH))
    with prefect_server.prefect_server() if engine == "prefect" else nullcontext():
        _queue(engine, _rows(count))
        with _working(engine):
            arrived = receiver.wait_for(before + count, path=PATH, timeout_s=120)[before:]
    # The first quarter is dropped: the worker opens its connections.
    arrived = arrived[count // 4 :]
    return float((len(arrived) - 1) / (arrived[-1]["at"] - arrived[0]["at"]))


def _database(world: World) -> str:
    with psycopg.connect(**world.superuser("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE}")
    address = conninfo.make_conninfo(**world.superuser(DATABASE))
    with psycopg.connect(address) as connection:
        connection.execute("CREATE TABLE effect (id serial PRIMARY KEY, amount int, status text DEFAULT 'new')")
    return address


def _rows(count: int) -> list[int]:
    with psycopg.connect(os.environ["NEIGHBOUR_DATABASE"]) as connection:
        rows = connection.execute(
            "INSERT INTO effect (amount) SELECT 900 FROM generate_series(1, %s) RETURNING id", [count]
        )
        return [row_id for (row_id,) in rows.fetchall()]


def _queue(engine: str, rows: list[int]) -> None:
    if engine == "prefect":
        if prefect_server.run_worker(*(str(row_id) for row_id in rows)).wait(120):
            raise RuntimeError("Prefect did not take all jobs.")
        return
    if engine == "celery":
        app = worker.celery_app()
        for row_id in rows:
            app.send_task("effect", [row_id])
        return
    from procrastinate import App, SyncPsycopgConnector

    app = App(connector=SyncPsycopgConnector(conninfo=os.environ["NEIGHBOUR_DATABASE"]))
    task: Any = app.task(name="effect", queue="effects")(worker.make_effect)
    with app.open():
        app.schema_manager.apply_schema()
        task.batch_defer(*({"row_id": row_id} for row_id in rows))


@contextmanager
def _working(engine: str) -> Iterator[None]:
    if engine == "prefect":
        process = prefect_server.run_worker()
    else:
        process = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.neighbours.worker", engine])
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
