"""One process of a worker: a Celery worker with threads, for the pools that run in it."""

from __future__ import annotations

import os
import signal
import socket
import threading
import warnings
from collections.abc import Sequence
from typing import Any, Final

import structlog
from celery import Celery
from celery.apps.worker import Worker
from celery.exceptions import SecurityWarning
from celery.worker import state
from celery.worker.consumer import Consumer
from django.db import connection

from threada_site.jobs.engines.celery import outbox
from threada_site.jobs.engines.celery.app import DATABASE_AWAY, job_runner, queue_name
from threada_site.jobs.pools import WorkerPool

BEAT_EVERY_S: Final = 3.0

log = structlog.get_logger("threada.worker")


class PoolConsumer(Consumer):
    """Celery's consumer without delayed delivery through quorum queues: the outbox knows when a job is due."""

    class Blueprint(Consumer.Blueprint):
        default_steps = [
            step for step in Consumer.Blueprint.default_steps if not step.endswith((":DelayedDelivery", ":Agent"))
        ]


class PoolWorker(Worker):
    """Celery's worker with the signals of a child process: SIGTERM ends it once its jobs are done."""

    def install_platform_tweaks(self, worker: Any) -> None:
        signal.signal(signal.SIGTERM, _ask_to_stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_pools(app: Celery, pools: Sequence[WorkerPool], *, name: str, parent: int) -> int:
    """Run jobs until asked to stop, and return the exit status. `name`: name of this process in the rows it takes."""
    job_runner.worker = name
    heart = threading.Thread(target=_beat, args=(pools, parent), name="heart", daemon=True)
    heart.start()
    # Celery warns when root reads messages that can run code. These messages are plain JSON and only name a job.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    worker = PoolWorker(
        app=app,
        hostname=f"{pools[0].process}.{os.getpid()}@{socket.gethostname()}",
        queues=[queue_name(pool.name) for pool in pools],
        pool="threads",
        concurrency=sum(pool.capacity for pool in pools) if len(pools) > 1 else pools[0].slots,
        without_mingle=True,
        without_gossip=True,
        without_heartbeat=True,
        quiet=True,
        loglevel="WARNING",
    )
    worker.start()
    _try(lambda: outbox.sign_off(name))
    return int(worker.exitcode or 0)


def _ask_to_stop(*_signal: Any) -> None:
    state.should_stop = 0


def _beat(pools: Sequence[WorkerPool], parent: int) -> None:
    """Record every few seconds that this process is alive and what it runs. End the process if its parent is gone."""
    told = {pool.name: {"slots": pool.slots, "capacity": pool.capacity} for pool in pools}
    pause = threading.Event()
    while True:
        if os.getppid() != parent:
            os._exit(1)
        _try(lambda: outbox.beat(job_runner.worker, pools=told, running=job_runner.running()))
        pause.wait(BEAT_EVERY_S)


def _try(operation: Any) -> None:
    try:
        operation()
    except DATABASE_AWAY:
        log.warning("heart_not_heard", exc_info=True)
    finally:
        connection.close()
