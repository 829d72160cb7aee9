"""Refusals beyond the rate of one sender and reason: counted in memory, stored every few seconds, recorded by a job.

A refusal beyond the rate takes a lock of the process and no statement. Rows are only inserted, so that processes do not
wait for each other. A process that is killed loses the counts of its last `STORED_AFTER_S` seconds; its first refusals
of the minute have receipts, and every refusal has a log line.
"""

from __future__ import annotations

import atexit
import threading
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.util import Finalize
from typing import Final, NamedTuple

import structlog
from django.conf import settings
from django.db import IntegrityError, connections

from telemetry.models import RefusalCount
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext

INTERVAL: Final = timedelta(minutes=1)
STORED_AFTER_S: Final = 5.0
MOST_SENDERS: Final = 1_000
"""Pairs of sender and reason per tenant, process and interval. Further senders are counted together, by reason."""

log = structlog.get_logger("threada.refusals")


class Sender(NamedTuple):
    """Sender and reason of refused requests. Senders beyond `MOST_SENDERS` have neither principal nor credential."""

    tenant_id: uuid.UUID
    principal_id: uuid.UUID | None
    credential_id: uuid.UUID | None
    reason_code: str


@dataclass(slots=True)
class _Count:
    recorded: int = 0
    unstored: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None


class RefusalCounts:
    """Refusals of the current interval in one process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._storing = threading.Lock()
        self._interval = datetime.min.replace(tzinfo=UTC)
        self._counts: dict[Sender, _Count] = {}
        self._senders: Counter[uuid.UUID] = Counter()
        self._rows: list[RefusalCount] = []
        self._timer: threading.Timer | None = None
        self._at_exit: Callable[[], None] | None = None

    def is_beyond_rate(
        self, ctx: ActingContext, reason_code: str, *, reserves: bool = True, now: datetime | None = None
    ) -> bool:
        """Count one refusal. Return True if it gets no receipt of its own; `store` then stores the count.

        `reserves`: False to count only a refusal that gets no receipt of its own, because the caller writes none.
        """
        now = now or clock.now()
        interval = now.replace(second=0, microsecond=0)
        with self._lock:
            if interval > self._interval or self._interval - interval > INTERVAL:  # the clock was set back
                self._begin(interval)
            count = self._count_of(Sender(ctx.tenant_id, ctx.principal_id, ctx.credential_id, reason_code))
            if count.recorded < settings.THREADA_REFUSAL_RECEIPTS:
                count.recorded += reserves
                return False
            count.unstored += 1
            count.first_at, count.last_at = count.first_at or now, now
            self._start_timer()
        return True

    def count(self, tenant_id: uuid.UUID, reason_code: str, *, now: datetime | None = None) -> None:
        """Count one refusal of a sender who is not known. It gets no receipt of its own, so nobody can write many."""
        now = now or clock.now()
        interval = now.replace(second=0, microsecond=0)
        with self._lock:
            if interval > self._interval or self._interval - interval > INTERVAL:
                self._begin(interval)
            count = self._counts.setdefault(Sender(tenant_id, None, None, reason_code), _Count())
            count.unstored += 1
            count.first_at, count.last_at = count.first_at or now, now
            self._start_timer()

    def store(self) -> None:
        """Insert the counts, one transaction per tenant. What cannot be stored now is kept for the next time."""
        with self._storing:
            with self._lock:
                self._timer = None
                self._take()
                rows, self._rows = self._rows, []
            unstored = _insert(rows)
            if unstored:
                with self._lock:
                    self._rows += unstored
                    self._start_timer()

    def forget(self) -> None:
        """Drop all counts, so that they are never stored."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._counts.clear()
            self._rows.clear()

    def _begin(self, interval: datetime) -> None:
        self._take()
        self._interval = interval
        self._counts.clear()
        self._senders.clear()

    def _count_of(self, sender: Sender) -> _Count:
        found = self._counts.get(sender)
        if found is not None:
            return found
        if self._senders[sender.tenant_id] >= MOST_SENDERS:
            sender = sender._replace(principal_id=None, credential_id=None)
            return self._counts.setdefault(sender, _Count())
        self._senders[sender.tenant_id] += 1
        return self._counts.setdefault(sender, _Count())

    def _take(self) -> None:
        """Move the counts into rows."""
        for sender, count in self._counts.items():
            if count.unstored and count.first_at and count.last_at:
                self._rows.append(
                    RefusalCount(
                        tenant_id=sender.tenant_id,
                        principal_id=sender.principal_id,
                        credential_id=sender.credential_id,
                        reason_code=sender.reason_code,
                        interval=self._interval,
                        count=count.unstored,
                        first_at=count.first_at,
                        last_at=count.last_at,
                    )
                )
                count.unstored, count.first_at = 0, None

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(STORED_AFTER_S, self._store_in_thread)
            self._timer.daemon = True
            self._timer.start()
        if self._at_exit is None:
            self._at_exit = atexit.register(self.store)
            Finalize(None, self.store, exitpriority=1)  # for a forked process, which does not run `atexit`

    def _store_in_thread(self) -> None:
        try:
            self.store()
        finally:
            connections.close_all()


counts: Final = RefusalCounts()


def _insert(rows: list[RefusalCount]) -> list[RefusalCount]:
    """Insert `rows`. Return those that the database could not take now. A row that is already there is left alone."""
    by_tenant = defaultdict(list)
    for row in rows:
        by_tenant[row.tenant_id].append(row)
    unstored: list[RefusalCount] = []
    for tenant_id, own in by_tenant.items():
        try:
            with unit_of_work(tenant_id):
                RefusalCount.objects.bulk_create(own, batch_size=500, ignore_conflicts=True)
        except IntegrityError:
            log.warning("refusal_counts_dropped", tenant_id=str(tenant_id), refusals=sum(row.count for row in own))
        except Exception as error:
            log.warning("refusal_counts_not_stored", tenant_id=str(tenant_id), exc_info=error)
            unstored += own
    return unstored
