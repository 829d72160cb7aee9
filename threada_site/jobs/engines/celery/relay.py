"""The relay: publishes due jobs with confirms and enqueues periodic tasks. One process is the relay; others stand
by."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from celery import Celery
from croniter import croniter
from django.db import connection, transaction
from kombu import Producer

from threada_site.jobs.engines.celery import outbox, publication
from threada_site.jobs.engines.celery.app import BROKER_AWAY, DATABASE_AWAY, queue_name
from threada_site.jobs.engines.celery.broker_check import declare_marker
from threada_site.jobs.pools import WorkerPool
from threada_site.jobs.registry import all_tasks

CONFIRMED_WITHIN_S: Final = 10.0
BUSY_PAUSE_S: Final = 0.01
IDLE_PAUSE_S: Final = 0.5
LOOK_FOR_LOST_EVERY_S: Final = 2.0
RENEW_EVERY_S: Final = 1.0
STAND_BY_S: Final = 1.0
FULL_PAUSE_S: Final = 0.1

log = structlog.get_logger("threada.relay")


class ConfirmingPublisher:
    """Channel to the broker with publisher confirms. `marker`: the instance's marker exchange, declared again if
    lost."""

    def __init__(self, app: Celery, *, marker: str) -> None:
        self._app = app
        self._marker = marker
        self._connection: Any = None
        self._producer: Any = None
        self._last_tag = 0
        self._unconfirmed: dict[int, int] = {}
        self._refused: set[int] = set()

    def send(self, outbound: Sequence[publication.OutboundJob]) -> None:
        """Publish jobs and wait until the broker has confirmed all of them.

        Raise one of `BROKER_AWAY` if it has not. Some messages may have arrived then.
        """
        self._unconfirmed, self._refused = {}, set()
        self._connect()
        for job in outbound:
            self._app.send_task(
                job.task,
                task_id=job.token,
                queue=queue_name(job.pool),
                producer=self._producer,
                ignore_result=True,
                mandatory=True,
            )
            self._last_tag += 1
            self._unconfirmed[self._last_tag] = job.id
        ends = time.monotonic() + CONFIRMED_WITHIN_S
        while self._unconfirmed:
            self._connection.drain_events(timeout=max(ends - time.monotonic(), 0.001))
        if self._refused:
            raise ConnectionError("The broker refused messages.")

    def close(self) -> None:
        """Drop the connection; the next message opens a new one."""
        if self._connection is not None:
            try:
                self._connection.collect()  # closes the socket without waiting for a broker that may be gone
            finally:
                self._connection = self._producer = None

    def _connect(self) -> None:
        if self._connection is not None:
            return
        self._connection = self._app.connection_for_write(
            heartbeat=0, connect_timeout=4, transport_options={"write_timeout": CONFIRMED_WITHIN_S}
        )
        self._connection.connect()
        channel = self._connection.channel()
        declare_marker(channel, self._marker)
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        self._producer = Producer(channel, auto_declare=False)
        self._last_tag = 0

    def _on_ack(self, tag: int, multiple: bool) -> None:  # noqa: FBT001  (amqp's signature)
        for each in [t for t in self._unconfirmed if t == tag or (multiple and t <= tag)]:
            del self._unconfirmed[each]

    def _on_nack(self, tag: int, multiple: bool) -> None:  # noqa: FBT001  (the same)
        self._refused |= {job for t, job in self._unconfirmed.items() if t == tag or (multiple and t <= tag)}
        self._on_ack(tag, multiple)


class PeriodicSchedule:
    """The next due time of each periodic task."""

    def __init__(self, now: float) -> None:
        self._ticks = {
            each.name: (each.queue, croniter(each.cron, datetime.fromtimestamp(now, UTC)))
            for each in all_tasks().values()
            if each.cron
        }
        self._next = {name: ticks.get_next(float) for name, (_, ticks) in self._ticks.items()}

    def due(self, now: float) -> list[tuple[str, str]]:
        """Return name and queue of the tasks that are due, each once, however many of its ticks have passed."""
        found = []
        for name, (queue, ticks) in self._ticks.items():
            if self._next[name] <= now:
                ticks.set_current(now, force=True)
                self._next[name] = ticks.get_next(float)
                found.append((name, queue))
        return found

    def pause(self, now: float) -> float:
        return max(min(self._next.values(), default=now + 1) - now, 0.0)


class Relay:
    """Poll the outbox, publish to RabbitMQ, reconnect on failure."""

    def __init__(self, app: Celery, pools: Sequence[WorkerPool], *, name: str, marker: str) -> None:
        self._pools = {pool.name: pool.queues for pool in pools}
        self._publisher = ConfirmingPublisher(app, marker=marker)
        self._name = name
        self._stop = threading.Event()
        self._schedule: PeriodicSchedule | None = None
        self._looked_at = 0.0
        self._leased_at = float("-inf")
        self._is_broker_away = False
        self._pause_s = BUSY_PAUSE_S

    def stop(self, *_signal: Any) -> None:
        self._stop.set()

    def run(self, parent_is_there: Any) -> int:
        """Run until asked to stop or until the parent process is gone."""
        while not self._stop.is_set() and parent_is_there():
            try:
                if not self._has_lease():
                    self._stand_by()
                    continue
                pause_s = self._round()
                if pause_s > BUSY_PAUSE_S:
                    self._listen(pause_s)
                else:
                    self._stop.wait(pause_s)
            except DATABASE_AWAY as error:
                log.warning("database_away", error=type(error).__name__)
                self._leased_at = float("-inf")
                self._forget_database()
            except BROKER_AWAY as error:
                if not self._is_broker_away:
                    log.warning("broker_away", error=type(error).__name__)
                self._is_broker_away = True
                self._leave()
                self._stop.wait(STAND_BY_S * 1.5)  # longer than the pause of a standby relay
        self._leave()
        return 0

    def _round(self) -> float:
        """Publish as many jobs as there is room for. Return the seconds until the next look."""
        now = time.time()
        self._schedule = self._schedule or PeriodicSchedule(now)
        for name, queue in self._schedule.due(now):
            _enqueue(name, queue)
        self._look_for_lost()
        with transaction.atomic():
            capacities = publication.pool_capacities(self._pools)
            due = publication.due_jobs(capacities)
            outbound = publication.mark_published(publication.plan_publication(capacities, due))
        if outbound:
            try:
                self._publisher.send(outbound)
            except BaseException:
                publication.unmark([job.id for job in outbound])
                raise
            if self._is_broker_away:
                self._is_broker_away = False
                log.warning("broker_back")
        is_full = any(capacity.free <= 0 for capacity in capacities)
        self._pause_s = BUSY_PAUSE_S if outbound else min(self._pause_s * 2, FULL_PAUSE_S if is_full else IDLE_PAUSE_S)
        return min(self._pause_s, self._schedule.pause(time.time()))

    def _has_lease(self) -> bool:
        """Return True if this process is the relay. Renews the lease of five seconds once a second."""
        if time.monotonic() - self._leased_at > RENEW_EVERY_S:
            self._leased_at = time.monotonic() if publication.acquire_relay_lease(self._name) else float("-inf")
        return self._leased_at > 0

    def _stand_by(self) -> None:
        self._schedule = None
        self._publisher.close()
        self._stop.wait(STAND_BY_S)

    def _leave(self) -> None:
        """Give up the relay lease."""
        self._publisher.close()
        self._leased_at = float("-inf")
        try:
            publication.release_relay_lease(self._name)
        except DATABASE_AWAY:
            log.warning("relay_not_left", exc_info=True)
            connection.close()

    def _look_for_lost(self) -> None:
        if time.monotonic() - self._looked_at < LOOK_FOR_LOST_EVERY_S:
            return
        self._looked_at = time.monotonic()
        for task in outbox.release():
            log.error("job_given_up", task=task, workers_lost=outbox.LOSSES)
        if lost := publication.unmark_lost():
            log.warning("messages_lost", count=lost)
        publication.forget_workers()

    def _listen(self, pause_s: float) -> None:
        """Wait until a job is enqueued."""
        connection.ensure_connection()
        with connection.wrap_database_errors:
            raw: Any = connection.connection
            raw.execute("LISTEN threada_jobs")
            for _ in raw.notifies(timeout=pause_s, stop_after=1):
                pass

    def _forget_database(self) -> None:
        connection.close()
        self._stop.wait(0.5)


def _enqueue(name: str, queue: str) -> None:
    statement = outbox.OutboxJobs().insertion(name, queue=queue, priority=0, once=name, body="{}", run_at=None)
    with connection.cursor() as cursor:
        cursor.execute(statement.sql, statement.params)


def relay(app: Celery, pools: Sequence[WorkerPool], *, name: str, marker: str, parent_is_there: Any) -> int:
    """Run a relay in this process."""
    own = Relay(app, pools, name=name, marker=marker)
    signal.signal(signal.SIGTERM, own.stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return own.run(parent_is_there)
