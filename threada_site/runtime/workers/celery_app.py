"""Celery, bound to the registry of tasks: a message names a job of the outbox, and whoever takes the row runs it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from amqp.exceptions import AMQPError
from celery import Celery, Task, signals
from celery.worker import state
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection, connections
from kombu import Exchange, Queue
from kombu.exceptions import KombuError
from psycopg_pool import PoolTimeout

from threada_site.jobs.engines import outbox_jobs as outbox
from threada_site.jobs.registry import all_tasks, run_task
from threada_site.runtime.workers.pools import WorkerPool

DATABASE_AWAY: Final = (OperationalError, InterfaceError, PoolTimeout)
BROKER_AWAY: Final = (OSError, AMQPError, KombuError)
PATIENCE_S: Final = 20.0
"""For as long a worker asks again for a database that is away, before it leaves a job to its lease."""
TRIES_WITHOUT_DATABASE: Final = 10

log = structlog.get_logger("threada.worker")


class Bench:
    """What one process has taken. Threads of a pool share it."""

    def __init__(self) -> None:
        self.worker = ""
        self._running: set[int] = set()
        self._lock = threading.Lock()

    def running(self) -> list[int]:
        with self._lock:
            return sorted(self._running)

    def carry_out(self, token: str) -> None:
        """Run the job of this token, if it is to be had; settle its row, whatever becomes of it."""
        close_old_connections()
        try:
            job = _patiently(lambda: outbox.take(token, worker=self.worker))
            if job is None:
                return
            with self._lock:
                self._running.add(job.id)
            try:
                self._run(job)
            finally:
                with self._lock:
                    self._running.discard(job.id)
        except DATABASE_AWAY:
            log.exception("job_left_to_its_lease", token=token)
        finally:
            connections.close_all()

    def _run(self, job: outbox.Taken) -> None:
        try:
            run_task(job.task, job.arguments, is_asked_to_stop=_is_asked_to_stop)
        except Exception as error:
            log.exception("job_failed", task=job.task, attempt=job.attempts)
            connection.close()  # it may be what failed
            pause_s = _pause_after(job, error)
            if pause_s is not None:
                _patiently(lambda: outbox.put_back(job, worker=self.worker, pause_s=pause_s))
                return
        _patiently(lambda: outbox.finish(job, worker=self.worker))


bench: Final = Bench()


def celery_app(pools: Sequence[WorkerPool]) -> Celery:
    """The application: one quorum queue for each pool, one Celery task for each of ours."""
    app = Celery("threada", set_as_current=False, fixups=[])
    app.conf.update(
        broker_url=settings.THREADA_BROKER_URL,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=10,
        task_queues=[
            Queue(
                queue_name(pool.name),
                exchange=Exchange(""),
                routing_key=queue_name(pool.name),
                durable=True,
                queue_arguments={"x-queue-type": "quorum"},
            )
            for pool in pools
        ],
        task_default_queue=queue_name(pools[0].name),
        task_default_queue_type="quorum",
        task_create_missing_queues=False,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        worker_consumer="threada_site.runtime.workers.celery_worker:PoolConsumer",
        worker_prefetch_multiplier=1,
        worker_enable_prefetch_count_reduction=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    for name in all_tasks():
        app.task(_carry_out, name=name, bind=True, shared=False)
    return app


def queue_name(pool: str) -> str:
    """What the broker calls it. Several instances may share a broker under different prefixes."""
    return f"{settings.THREADA_BROKER_PREFIX}.{pool}"


@signals.setup_logging.connect
def _keep_our_logging(**_signal: Any) -> None:
    """With a listener here, Celery sets up no logging of its own."""


def _carry_out(self: Task) -> None:
    bench.carry_out(str(self.request.id))


def _is_asked_to_stop() -> bool:
    return state.should_stop is not None or state.should_terminate is not None


def _pause_after(job: outbox.Taken, error: Exception) -> int | None:
    """Seconds until a job that failed is begun again; None when it is not."""
    known = all_tasks()[job.task]
    if job.attempts < known.attempts:
        return known.pause_after(job.attempts)
    is_database_away = isinstance(error, DATABASE_AWAY)
    return 1 if is_database_away and job.attempts < TRIES_WITHOUT_DATABASE else None


def _patiently[T](operation: Callable[[], T]) -> T:
    """What asks the database, again and again while it is away. Raises one of `DATABASE_AWAY` in the end."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            return operation()
        except DATABASE_AWAY:
            connection.close()
            if time.monotonic() > ends or _is_asked_to_stop():
                raise
            time.sleep(0.5)
