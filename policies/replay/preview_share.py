"""Share of the evaluators of a process that previews of replays may use, and who is next to use it."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from django.conf import settings

from policies.evaluator.pool import BUSY, note
from threada_site.kernel.errors import EvaluatorBusy

WINDOW_S: Final = 60.0
MOST_OF_TENANT_S: Final = 40.0
MOST_OF_PERSON_S: Final = 20.0
"""Seconds of previews of one tenant and of one person in a process within `WINDOW_S`."""
_WAITS_S: Final = 1.5
"""Time for which a tenant that was refused counts as waiting; its editor asks again sooner."""


class PreviewShare:
    """Previews of this process at a time: one fewer than it has evaluators, so that other runs find one.

    A tenant that used more than another one lets the other go first. `clock` returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._used: dict[uuid.UUID, deque[tuple[float, float]]] = {}
        self._refused: dict[uuid.UUID, float] = {}

    @contextmanager
    def taken(self, *, tenant: uuid.UUID, person: uuid.UUID) -> Iterator[None]:
        """Take part of the share for one step. Raise `EvaluatorBusy` if it is used up, or another tenant is next."""
        with self._lock:
            started = self._clock()
            self._forget(started)
            if not self._is_free(tenant, person):
                self._refused[tenant] = started
                note("busy")
                raise EvaluatorBusy(headers=BUSY)
            self._refused.pop(tenant, None)
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                ended = self._clock()
                for who in {tenant, person}:
                    self._used.setdefault(who, deque()).append((ended, ended - started))

    def _is_free(self, tenant: uuid.UUID, person: uuid.UUID) -> bool:
        own = self._seconds(tenant)
        if own >= MOST_OF_TENANT_S or self._seconds(person) >= MOST_OF_PERSON_S:
            return False
        is_next = all(self._seconds(other) >= own for other in self._refused if other != tenant)
        return is_next and self._running < max(settings.THREADA_EVALUATORS - 1, 1)

    def _seconds(self, who: uuid.UUID) -> float:
        return sum(seconds for _, seconds in self._used.get(who, ()))

    def _forget(self, now: float) -> None:
        """Drop what is older than the window, so that the memory of a process does not grow."""
        for who, entries in list(self._used.items()):
            while entries and entries[0][0] < now - WINDOW_S:
                entries.popleft()
            if not entries:
                del self._used[who]
        self._refused = {tenant: at for tenant, at in self._refused.items() if at > now - _WAITS_S}
