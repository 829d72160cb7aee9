"""Worker for the engine inside PostgreSQL: one procrastinate worker for each pool, in one process.

Pools do not poll. One connection listens for notifications, and one statement a second finds queues with due jobs, for
all pools. Nine pools that each poll every second would load the database more than the jobs do.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

import structlog
from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy
from procrastinate.contrib.django import app as django_app
from procrastinate.contrib.django.utils import connector_params
from procrastinate.jobs import Notification
from procrastinate.periodic import PeriodicDeferrer
from procrastinate.worker import Worker
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from threada_site.jobs.registry import Task, all_tasks, run_task
from threada_site.runtime.workers.pools import all_pools

LOOK_EVERY_S: Final = 1.0
_DUE: Final = """
    SELECT q.name FROM unnest(%(queues)s::varchar[]) AS q (name)
     WHERE EXISTS (SELECT FROM procrastinate_jobs j
                    WHERE j.queue_name = q.name AND j.status = 'todo'
                      AND (j.scheduled_at IS NULL OR j.scheduled_at <= now()))
"""

log = structlog.get_logger("threada.worker")


async def work(*, concurrency: int) -> bool:
    """Run jobs until a signal asks to stop; True then. False when the queue was lost: the caller exits non-zero."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    for each in all_tasks().values():
        _bind(django_app, each)
    with django_app.replace_connector(_connector()) as app:
        async with app.open_async():
            await _run(WorkerPools(app, concurrency=concurrency), asked)
    return asked.is_set()


def _bind(app: App, bound: Task) -> None:
    """Have procrastinate know a task of the registry."""

    def carry_out(job: JobContext, **arguments: Any) -> None:
        if bound.cron:
            arguments.pop("timestamp", None)  # procrastinate hands periodic tasks the second they are for
        run_task(bound.name, arguments, is_asked_to_stop=job.should_abort)

    retry = RetryStrategy(max_attempts=bound.attempts - 1, linear_wait=bound.pause_s) if bound.attempts > 1 else False
    lock = bound.name if bound.cron else None
    register = app.task(name=bound.name, queue=bound.queue, queueing_lock=lock, retry=retry, pass_context=True)
    known = register(carry_out)
    if bound.cron:
        app.periodic(cron=bound.cron)(known)  # type: ignore[arg-type]


def _connector() -> PsycopgConnector:
    """Each call is one statement and so its own transaction, which needs neither BEGIN nor COMMIT. No connection is
    tried before it is used: one that is lost ends the worker, and a supervisor starts it again."""
    return PsycopgConnector(
        kwargs=connector_params(),
        pool_factory=lambda **options: AsyncConnectionPool(**{**options, "check": None}),
        configure=_commit_each_statement,
        min_size=1,
        max_size=4,
        max_idle=10,  # seconds; each connection at rest costs PostgreSQL some 5 MB
    )


async def _commit_each_statement(connection: AsyncConnection[Any]) -> None:
    await connection.set_autocommit(True)


async def _run(pools: WorkerPools, asked: asyncio.Event) -> None:
    """Until asked to stop, or until a part ends by itself."""
    parts = [asyncio.create_task(part, name=name) for name, part in pools.parts().items()]
    stop = asyncio.create_task(asked.wait())
    await asyncio.wait([*parts, stop], return_when=asyncio.FIRST_COMPLETED)
    for part in parts:
        if part.done() and not asked.is_set():
            log.error("pool_ended", pool=part.get_name(), exc_info=part.exception())
        part.cancel()
    await asyncio.gather(*parts, return_exceptions=True)
    stop.cancel()


class WorkerPools:
    """The pools of one worker, and what tells them of jobs."""

    def __init__(self, app: App, *, concurrency: int) -> None:
        self._app = app
        self.workers = {
            pool.name: PoolWorker(
                app=app,
                queues=list(pool.queues),
                concurrency=pool.slots,
                install_signal_handlers=False,
                listen_notify=False,
                fetch_job_polling_interval=60.0,
                delete_jobs="successful",
                shutdown_graceful_timeout=12.0,
            )
            for pool in all_pools(concurrency)
        }
        self._by_queue: dict[str, list[PoolWorker]] = {}
        for worker in self.workers.values():
            for queue in worker.queues or ():
                self._by_queue.setdefault(queue, []).append(worker)

    def parts(self) -> dict[str, Coroutine[Any, Any, None]]:
        """All that runs side by side. Each runs until it is cancelled, or lost its connection."""
        pools: dict[str, Coroutine[Any, Any, None]] = {name: worker.run() for name, worker in self.workers.items()}
        return {**pools, "notifications": self._listen(), "due jobs": self._look(), "clock": self._keep_time()}

    async def _listen(self) -> None:
        """Jobs enqueued now, by one connection for all pools."""
        await self._app.job_manager.listen_for_jobs(on_notification=self._on_notification, queues=list(self._by_queue))

    async def _on_notification(self, *, channel: str, notification: Notification) -> None:
        for worker in self._by_queue.get(channel.partition("#")[2], ()):
            await worker.tell(channel=channel, notification=notification)

    async def _look(self) -> None:
        """Jobs enqueued for later, or of which no notification came, by one statement for all pools."""
        due = partial(self._app.connector.execute_query_all_async, _DUE, queues=list(self._by_queue))
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for row in await due():
                for worker in self._by_queue[row["name"]]:
                    worker.wake()

    async def _keep_time(self) -> None:
        """Periodic jobs are enqueued by one for all pools; which of several workers does it, the database decides."""
        await PeriodicDeferrer(registry=self._app.periodic_registry).worker()


class PoolWorker(Worker):
    """Works jobs off when it is told that there may be some."""

    def wake(self) -> None:
        """Look whether there is a job."""
        self._new_job_event.set()

    async def tell(self, *, channel: str, notification: Notification) -> None:
        """Hand on what PostgreSQL notified of: a new job, or one that should stop."""
        await self._handle_notification(channel=channel, notification=notification)

    async def _periodic_deferrer(self) -> None:
        # Enqueues none. A side task that returned would end the watch over the others, so this one waits.
        await asyncio.Event().wait()
