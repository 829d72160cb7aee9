"""`python worker.py procrastinate|celery|prefect`: the worker of a plain job queue.

Each job reads a row, posts its amount over a kept connection, and updates the row. `python worker.py prefect ROW_ID…`
queues jobs of Prefect, whose environment has nothing of the project.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Final

import httpx
import psycopg

CONCURRENCY: Final = 4
_own: Final = threading.local()


def make_effect(row_id: int) -> None:
    """Make the call of one row, with a database connection and an HTTP connection of this thread."""
    if not hasattr(_own, "database"):
        _own.database = psycopg.connect(os.environ["NEIGHBOUR_DATABASE"], autocommit=True)
        _own.client = httpx.Client()
    found = _own.database.execute("SELECT amount FROM effect WHERE id = %s", [row_id]).fetchone()
    headers = {"Idempotency-Key": f"neighbour-{row_id}"}
    url = os.environ["NEIGHBOUR_URL"]
    _own.client.post(url, json={"amount_minor": found[0]}, headers=headers).raise_for_status()
    _own.database.execute("UPDATE effect SET status = 'done' WHERE id = %s", [row_id])


def procrastinate_app() -> Any:
    from procrastinate import App, PsycopgConnector

    app = App(connector=PsycopgConnector(conninfo=os.environ["NEIGHBOUR_DATABASE"]))
    app.task(name="effect", queue="effects")(make_effect)
    return app


def celery_app() -> Any:
    from celery import Celery

    app = Celery("neighbour", broker=os.environ["NEIGHBOUR_BROKER"])
    app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False)
    app.task(name="effect")(make_effect)
    return app


def prefect_task() -> Any:
    from prefect import task  # type: ignore[import-not-found]

    return task(name="effect")(make_effect)


def main(engine: str, row_ids: list[str]) -> None:
    for row_id in row_ids:
        prefect_task().delay(int(row_id))
    if engine == "prefect" and not row_ids:
        from prefect.task_worker import serve  # type: ignore[import-not-found]

        serve(prefect_task(), limit=CONCURRENCY)
    elif engine == "procrastinate":
        procrastinate_app().run_worker(concurrency=CONCURRENCY, delete_jobs="successful")
    elif engine == "celery":
        arguments = ["worker", "--pool=threads", f"--concurrency={CONCURRENCY}", "--loglevel=ERROR"]
        celery_app().worker_main([*arguments, "--without-gossip", "--without-mingle"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
