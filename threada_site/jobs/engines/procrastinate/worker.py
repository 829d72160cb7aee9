"""Worker for the engine inside PostgreSQL: one procrastinate worker for each pool, in one process.

Pools do not poll. One connection listens for notifications, and one statement a second finds queues with due jobs, for
all pools. Nine pools that each poll every second would load the database more than the jobs do.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Coroutine, Iterable
from functools import partial
from typing import Any, Final

import structlog
from django.db import connection
from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy
from procrastinate.contrib.django import app as django_app
from procrastinate.contrib.django.utils import connector_params
from procrastinate.jobs import Notification
from procrastinate.periodic import PeriodicDeferrer, PeriodicRegistry, PeriodicTask
from procrastinate.worker import Worker
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from threada_site.jobs.pools import all_pools
from threada_site.jobs.registry import Task, all_tasks, run_task

LOOK_EVERY_S: Final = 1.0
_DUE: Final = """
    SELECT q.name FROM unnest(%(queues)s::varchar[]) AS q (name)
     WHERE EXISTS (SELECT FROM procrastinate_jobs j
                    WHERE j.queue_name = q.name AND j.status = 'todo'
                      AND (j.scheduled_at IS NULL OR j.scheduled_at <= now()))
"""

log = structlog.get_logger("threada.worker")


async def work(*, concurrency: int) -> bool:
    """Run jobs until a signal asks to stop, and return True. Return False if the queue was lost; the caller exits
    non-zero."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    for each in all_tasks().values():
        _bind(django_app, each, asked)
    # What a process keeps for its life is left out of garbage collection, which would stop all threads for 0.2 s.
    gc.collect()
    gc.freeze()
    with django_app.replace_connector(_connector()) as app:
        async with app.open_async():
            await _run(WorkerPools(app, concurrency=concurrency), asked)
    return asked.is_set()


def _bind(app: App, bound: Task, asked: asyncio.Event) -> None:
    """Register a task of the registry with procrastinate. `asked` is set when the worker should stop."""

    def carry_out(job: JobContext, **arguments: Any) -> None:
        if bound.cron:
            arguments.pop("timestamp", None)  # procrastinate passes periodic tasks their due time
        try:
            run_task(bound.name, arguments, is_asked_to_stop=lambda: asked.is_set() or job.should_abort())
        finally:
            # Return it to the pool. The thread would keep it until its next job, and its server process about 10 MB.
            connection.close()

    retry = RetryStrategy(max_attempts=bound.attempts - 1, linear_wait=bound.pause_s) if bound.attempts > 1 else False
    lock = bound.name if bound.cron else None
    register = app.task(name=bound.name, queue=bound.queue, queueing_lock=lock, retry=retry, pass_context=True)
    known = register(carry_out)
    if bound.cron:
        app.periodic(cron=bound.cron)(known)  # type: ignore[arg-type]


def _connector() -> PsycopgConnector:
    """Return a connector whose calls are single statements and so need neither BEGIN nor COMMIT.

    Connections are not checked before use. A lost one ends the worker, and a supervisor starts it again.
    """
    return PsycopgConnector(
        kwargs=connector_params(),
        pool_factory=lambda **options: AsyncConnectionPool(**{**options, "check": None}),
        configure=_commit_each_statement,
        min_size=1,
        max_size=4,
        max_idle=10,  # seconds; each idle connection costs PostgreSQL about 5 MB
    )


async def _commit_each_statement(connection: AsyncConnection[Any]) -> None:
    await connection.set_autocommit(True)


async def _run(pools: WorkerPools, asked: asyncio.Event) -> None:
    """Run all parts until asked to stop, or until one of them ends."""
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
    """The pools of one worker, and the tasks that wake them."""

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
        """Return everything that runs concurrently. Each part runs until it is cancelled or loses its connection."""
        pools: dict[str, Coroutine[Any, Any, None]] = {name: worker.run() for name, worker in self.workers.items()}
        return {**pools, "notifications": self._listen(), "due jobs": self._look(), "clock": self._keep_time()}

    async def _listen(self) -> None:
        """Receive notifications of new jobs, on one connection for all pools."""
        await self._app.job_manager.listen_for_jobs(on_notification=self._on_notification, queues=list(self._by_queue))

    async def _on_notification(self, *, channel: str, notification: Notification) -> None:
        for worker in self._by_queue.get(channel.partition("#")[2], ()):
            await worker.tell(channel=channel, notification=notification)

    async def _look(self) -> None:
        """Find due jobs that were scheduled for later or not notified of, with one statement for all pools."""
        due = partial(self._app.connector.execute_query_all_async, _DUE, queues=list(self._by_queue))
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for row in await due():
                for worker in self._by_queue[row["name"]]:
                    worker.wake()

    async def _keep_time(self) -> None:
        """Enqueue periodic jobs, once for all pools. The database decides which of several workers does it."""
        await PeriodicSchedule(registry=self._app.periodic_registry).worker()


class PeriodicSchedule(PeriodicDeferrer):
    """Enqueues periodic jobs. Remembers when each is due next, because to compute it takes about a millisecond."""

    def __init__(self, registry: PeriodicRegistry) -> None:
        super().__init__(registry)
        self._due: dict[tuple[str, str], float] = {}

    def get_timestamps(self, periodic_task: PeriodicTask, since: int | None, until: float) -> Iterable[int]:
        """Yield the times at which a task became due until `until`."""
        key = (periodic_task.task.name, periodic_task.periodic_id)
        if self._due.get(key, 0.0) <= until:
            yield from super().get_timestamps(periodic_task, since, until)
            self._due[key] = periodic_task.croniter.get_next(ret_type=float, start_time=until)  # type: ignore[no-untyped-call]

    def get_next_tick(self, at: float) -> float:
        """Return the seconds until a task is due."""
        return min(self._due.values()) - at


class PoolWorker(Worker):
    """Procrastinate worker that polls for jobs when it is notified."""

    def wake(self) -> None:
        """Look for a job now."""
        self._new_job_event.set()

    async def tell(self, *, channel: str, notification: Notification) -> None:
        """Pass on a notification of PostgreSQL: a new job, or one that should stop."""
        await self._handle_notification(channel=channel, notification=notification)

    async def _periodic_deferrer(self) -> None:
        # Enqueues nothing, and waits: if a side task returned, procrastinate would stop watching the others.
        await asyncio.Event().wait()
