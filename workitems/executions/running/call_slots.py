"""Places for the calls of one process, and the threads that make them. `lanes.py` says who may have one.

A set claims no more executions than there are free call slots. An execution that may not begin stays due. It is
enqueued again when a place is free, and looked at by the sweep of lost executions, also in other processes.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final

import structlog
from django.conf import settings

from workitems.executions.running.lanes import CallLanes, Place, Receiver

SETTLING: Final = 8
"""Failed calls that are settled at the same time, fewer than the process has connections."""

log = structlog.get_logger("threada.executions")


class CallSlots:
    """Places of this process, and the threads that make its calls. Safe with several threads."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._kept = CallLanes(size=0)
        self._claimed: set[uuid.UUID] = set()
        self.settling = threading.BoundedSemaphore(SETTLING)
        self._threads: ThreadPoolExecutor | None = None

    def take(self, most: int, *, wait_s: float = 0.0) -> int:
        """Take up to `most` free slots. Return how many.

        While fewer than half of them are free, wait up to `wait_s`: calls usually end soon, and small sets cost more.
        """
        with self._lock:
            half = min(most, max(1, min(most, settings.THREADA_CALL_SLOTS) // 2))
            self._lock.wait_for(lambda: self._lanes.free >= half, timeout=wait_s)
            count = max(0, min(most, self._lanes.free))
            self._lanes.taken += count
            return count

    def take_beyond(self, tenant_id: uuid.UUID) -> int:
        """Take a slot although none is free, if the tenant has no call in this process. Return how many: 1 or 0."""
        with self._lock:
            return int(self._lanes.take_beyond(tenant_id))

    def begin(self, places: Iterable[Place]) -> None:
        """Note calls that begin."""
        with self._lock:
            for place in places:
                self._lanes.begin(place)

    def give_back(self, count: int) -> None:
        """Return slots that were taken and not used."""
        if count:
            with self._lock:
                self._lanes.taken -= count
                self._lock.notify_all()

    def is_full(self, tenant_id: uuid.UUID) -> bool:
        """Return True if no further call of a tenant may begin."""
        with self._lock:
            return self._lanes.is_full(tenant_id)

    def has_room(self, receiver: Receiver) -> bool:
        """Return True if the shares of a receiver and its tenant allow a further call."""
        with self._lock:
            return self._lanes.has_room(receiver)

    def full_integrations(self, tenant_id: uuid.UUID) -> list[str]:
        """Return the integrations of a tenant without limits whose share is full."""
        with self._lock:
            return self._lanes.full_integrations(tenant_id)

    def arrive(self, place: Place) -> bool:
        """Return True if the thread of the job takes the outcome of a call, False if that of the call settles it."""
        with self._lock:
            place.has_arrived = True
            return not place.is_handed_over

    def hand_over(self, place: Place) -> bool:
        """Leave a call that has lasted a second to its thread. Return False if it has arrived."""
        with self._lock:
            if place.has_arrived:
                return False
            place.is_handed_over = True
            self._lanes.note_lasting(place)
            self._lock.notify_all()
            return True

    def end(self, place: Place) -> None:
        """Free the place of a call."""
        with self._lock:
            self._lanes.end(place)
            self._lock.notify_all()

    def wait(self, execution_id: uuid.UUID, tenant_id: uuid.UUID, receiver: Receiver | None = None) -> None:
        """Remember an execution that may not begin. `receiver`: None if no call slot was free."""
        with self._lock:
            self._lanes.wait(execution_id, tenant_id, receiver, now=time.monotonic())

    def needs_no_job(self, execution_id: uuid.UUID) -> bool:
        """Return True if a job has nothing to do for an execution: it is called here, or it still may not begin."""
        if execution_id in self._claimed:
            return True
        with self._lock:
            return self._lanes.still_waits(execution_id, now=time.monotonic())

    def take_ready(self) -> list[tuple[uuid.UUID, uuid.UUID]]:
        """Return tenant and id of executions that waited and may begin now."""
        with self._lock:
            return self._lanes.take_ready()

    def note_claimed(self, execution_ids: Iterable[uuid.UUID]) -> None:
        """Note executions whose calls this process is about to make."""
        with self._lock:
            claimed = list(execution_ids)
            self._claimed.update(claimed)
            self._lanes.forget_waiting(claimed)

    def forget_waiting(self, execution_id: uuid.UUID) -> None:
        """Forget an execution that is looked at again."""
        with self._lock:
            self._lanes.forget_waiting([execution_id])

    def note_called(self, execution_id: uuid.UUID) -> None:
        """Note that the call of an execution has ended, before its outcome is recorded."""
        with self._lock:
            self._claimed.discard(execution_id)

    def has_claimed(self, execution_id: uuid.UUID) -> bool:
        """Return True while a set of this process makes the call of an execution, which needs no other job then."""
        return execution_id in self._claimed

    def start(self, calls: deque[Callable[[], None]]) -> None:
        """Run each of `calls` once, in a thread of its own, or here if no thread can be started.

        The slots were taken before; each call frees its own.
        """
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(2 * settings.THREADA_CALL_SLOTS, thread_name_prefix="calls")
            threads = self._threads
        try:
            for _ in range(len(calls)):
                threads.submit(copy_context().run, _run_next, calls)
        except RuntimeError:  # the process is ending or has too many threads; a call may have been queued nevertheless
            log.exception("calls_not_started")
            while calls:
                _run_next(calls)

    def forget(self) -> None:
        """Begin with all places free. Called after a fork, in the child, which has no threads of its parent."""
        self._lock, self.settling = threading.Condition(), threading.BoundedSemaphore(SETTLING)
        self._kept, self._threads, self._claimed = CallLanes(size=0), None, set()

    @property
    def _lanes(self) -> CallLanes:
        self._kept.size = settings.THREADA_CALL_SLOTS
        return self._kept


def _run_next(calls: deque[Callable[[], None]]) -> None:
    try:
        call = calls.popleft()
    except IndexError:
        return
    call()


call_slots: Final = CallSlots()
os.register_at_fork(after_in_child=call_slots.forget)
