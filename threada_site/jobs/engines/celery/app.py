"""Celery application bound to the registry of tasks. A message names a job of the outbox; the process that takes the
row runs it."""

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

from threada_site.jobs.engines.celery import outbox
from threada_site.jobs.pools import WorkerPool
from threada_site.jobs.registry import all_tasks, run_task

DATABASE_AWAY: Final = (OperationalError, InterfaceError, PoolTimeout)
BROKER_AWAY: Final = (OSError, AMQPError, KombuError)
PATIENCE_S: Final = 20.0
"""Seconds for which a worker retries while the database is away, before it leaves a job to its lease."""
TRIES_WITHOUT_DATABASE: Final = 10

log = structlog.get_logger("threada.worker")


class JobRunner:
    """Jobs that one process runs. Shared by the threads of its pool."""

    def __init__(self) -> None:
        self.worker = ""
        self._running: set[int] = set()
        self._lock = threading.Lock()

    def running(self) -> list[int]:
        with self._lock:
            return sorted(self._running)

    def carry_out(self, token: str) -> None:
        """Run the job of this token if it can be taken, and settle its row in any case."""
        close_old_connections()
        try:
            job = _with_database_retries(lambda: outbox.take(token, worker=self.worker))
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
            connection.close()  # the connection may be the cause
            pause_s = _pause_after(job, error)
            if pause_s is not None:
                _with_database_retries(lambda: outbox.put_back(job, worker=self.worker, pause_s=pause_s))
                return
        _with_database_retries(lambda: outbox.finish(job, worker=self.worker))


job_runner: Final = JobRunner()


def celery_app(pools: Sequence[WorkerPool]) -> Celery:
    """Return the Celery application: one quorum queue for each pool, one Celery task for each registered task."""
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
        worker_consumer="threada_site.jobs.engines.celery.worker:PoolConsumer",
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
    """Return the broker's name for the queue of a pool. Several instances may share a broker under different
    prefixes."""
    return f"{settings.THREADA_BROKER_PREFIX}.{pool}"


@signals.setup_logging.connect
def _keep_our_logging(**_signal: Any) -> None:
    """Do nothing. With a receiver connected, Celery sets up no logging of its own."""


def _carry_out(self: Task) -> None:
    job_runner.carry_out(str(self.request.id))


def _is_asked_to_stop() -> bool:
    return state.should_stop is not None or state.should_terminate is not None


def _pause_after(job: outbox.Taken, error: Exception) -> int | None:
    """Return the seconds until a failed job runs again, or None if it does not."""
    known = all_tasks()[job.task]
    if job.attempts < known.attempts:
        return known.pause_after(job.attempts)
    is_database_away = isinstance(error, DATABASE_AWAY)
    return 1 if is_database_away and job.attempts < TRIES_WITHOUT_DATABASE else None


def _with_database_retries[T](operation: Callable[[], T]) -> T:
    """Call `operation` and retry while the database is away. Raise one of `DATABASE_AWAY` when the time is over."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        try:
            return operation()
        except DATABASE_AWAY:
            connection.close()
            if time.monotonic() > ends or _is_asked_to_stop():
                raise
            time.sleep(0.5)
