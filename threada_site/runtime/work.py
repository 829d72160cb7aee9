"""The worker of the engine inside PostgreSQL: procrastinate, one of its workers for each lane."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import structlog
from procrastinate import App, JobContext, RetryStrategy
from procrastinate.contrib.django import app as django_app
from procrastinate.worker import Worker

from threada_site.runtime.lanes import Lane, all_lanes
from threada_site.tenancy.jobs import SWEEP_QUEUE
from threada_site.tenancy.registry import Task, all_tasks, run_task

log = structlog.get_logger("threada.worker")


async def work(*, concurrency: int) -> bool:
    """Run jobs until a signal asks to stop; True then. False when the queue was lost: the caller exits non-zero."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    for each in all_tasks().values():
        _bind(django_app, each)
    connector = django_app.connector.get_worker_connector()  # type: ignore[attr-defined]
    with django_app.replace_connector(connector) as app:
        await _run_lanes(app, asked, concurrency=concurrency)
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


async def _run_lanes(app: App, asked: asyncio.Event, *, concurrency: int) -> None:
    async with app.open_async():
        lanes = [asyncio.create_task(worker_of(lane, app).run(), name=lane.name) for lane in all_lanes(concurrency)]
        stop = asyncio.create_task(asked.wait())
        await asyncio.wait([*lanes, stop], return_when=asyncio.FIRST_COMPLETED)
        for lane in lanes:
            if lane.done() and not asked.is_set():
                log.error("lane_ended", lane=lane.get_name(), exc_info=lane.exception())
            lane.cancel()
        await asyncio.gather(*lanes, return_exceptions=True)
        stop.cancel()


def worker_of(lane: Lane, app: App) -> Worker:
    """What carries out the jobs of one lane. The sweeps' alone keeps the time: nine that each ask the database every
    second whether a periodic job is due cost it more than the jobs."""
    kind = Worker if SWEEP_QUEUE in lane.queues else _WithoutClock
    return kind(
        app=app,
        queues=list(lane.queues),
        concurrency=lane.slots,
        install_signal_handlers=False,
        listen_notify=True,
        fetch_job_polling_interval=1.0,
        delete_jobs="successful",
        shutdown_graceful_timeout=12.0,
    )


class _WithoutClock(Worker):
    """Enqueues no periodic jobs. A side task that returned would end the watch over the others, so this one waits."""

    async def _periodic_deferrer(self) -> None:
        await asyncio.Event().wait()
