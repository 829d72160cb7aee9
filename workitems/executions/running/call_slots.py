"""Slots for the calls of sets, in one process. A set claims no more executions than there are free slots."""

from __future__ import annotations

import os
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final

import structlog
from django.conf import settings

SETTLING: Final = 8
"""Failed calls that are settled at the same time, fewer than the process has connections."""

log = structlog.get_logger("threada.executions")


class CallSlots:
    """Free slots of this process, and the threads that make its calls."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._taken = 0
        self._claimed: set[uuid.UUID] = set()
        self.settling = threading.BoundedSemaphore(SETTLING)
        self._threads: ThreadPoolExecutor | None = None

    def take(self, most: int, *, wait_s: float = 0.0) -> int:
        """Take up to `most` free slots. Return how many.

        While fewer than half of them are free, wait up to `wait_s`: calls usually end soon, and small sets cost more.
        """
        with self._lock:
            half = min(most, settings.THREADA_CALL_SLOTS) // 2
            self._lock.wait_for(lambda: settings.THREADA_CALL_SLOTS - self._taken >= half, timeout=wait_s)
            count = max(0, min(most, settings.THREADA_CALL_SLOTS - self._taken))
            self._taken += count
            return count

    def give_back(self, count: int) -> None:
        """Return slots that were taken."""
        with self._lock:
            self._taken -= count
            self._lock.notify_all()

    def note_claimed(self, execution_ids: Iterable[uuid.UUID]) -> None:
        """Note executions whose calls this process is about to make."""
        with self._lock:
            self._claimed.update(execution_ids)

    def note_called(self, execution_id: uuid.UUID) -> None:
        """Note that the call of an execution has ended, before its outcome is recorded."""
        with self._lock:
            self._claimed.discard(execution_id)

    def has_claimed(self, execution_id: uuid.UUID) -> bool:
        """Return True while a set of this process makes the call of an execution, which needs no other job then."""
        return execution_id in self._claimed

    def start(self, calls: deque[Callable[[], None]]) -> None:
        """Run each of `calls` once, in a thread of its own, or here if no thread can be started.

        The slots were taken before; each call returns its own.
        """
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(settings.THREADA_CALL_SLOTS, thread_name_prefix="calls")
            threads = self._threads
        try:
            for _ in range(len(calls)):
                threads.submit(copy_context().run, _run_next, calls)
        except RuntimeError:  # the process is ending or has too many threads; a call may have been queued nevertheless
            log.exception("calls_not_started")
            while calls:
                _run_next(calls)

    def forget(self) -> None:
        """Begin with all slots free. Called after a fork, in the child, which has no threads of its parent."""
        self._lock, self.settling = threading.Condition(), threading.BoundedSemaphore(SETTLING)
        self._taken, self._threads, self._claimed = 0, None, set()


def _run_next(calls: deque[Callable[[], None]]) -> None:
    try:
        call = calls.popleft()
    except IndexError:
        return
    call()


call_slots: Final = CallSlots()
os.register_at_fork(after_in_child=call_slots.forget)
