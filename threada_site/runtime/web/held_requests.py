"""Requests that wait for a change of a status. They use no thread: one query looks at many of them.

A request is looked at after 4 ms and then whenever it has waited a twentieth longer, at least five times a second. So a
short wait ends soon after the change, and a long one costs little.

All methods but `Offer.take` are called on the event loop.
"""

from __future__ import annotations

import asyncio
import io
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from threada_site.kernel.waits import GATEWAY, MESSAGE, OFFER, RESUMED, WAITED, Offer, Watched, preferred_wait
from threada_site.runtime.web.limits import Limits
from threada_site.runtime.web.refusals import ClientIsGoneError

log = structlog.get_logger("threada.web")

_SHORTEST_PAUSE_S: Final = 0.004
_LONGEST_PAUSE_S: Final = 0.2
_PAUSE_SHARE: Final = 0.05
"""Pause before the next look at a request, as a part of the time that it has waited."""
_METHODS: Final = ("GET", "POST")
_SUCCESSES: Final = (200, 202, 304)
_OF_THE_BODY: Final = ("wsgi.input", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING")

type ReadStatuses = Callable[[Collection[Watched]], Mapping[uuid.UUID, str]]
"""Returns the current statuses of existing rows. With no rows it gives back what it holds, such as a connection."""


@dataclass(eq=False, slots=True)
class _Held:
    watched: Watched
    began: float = field(default_factory=time.monotonic)
    looked_at: float = field(default_factory=time.monotonic)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    is_interrupted: bool = False

    @property
    def due(self) -> float:
        """Time of the next look at the status."""
        pause = (self.looked_at - self.began) * _PAUSE_SHARE
        return self.looked_at + min(max(pause, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)


class HeldRequests:
    """Requests of one process that wait. `stopping`: file that exists from the start of a drain on."""

    def __init__(self, limits: Limits, read_statuses: ReadStatuses | None, *, stopping: Path) -> None:
        self._limits = limits
        self._read_statuses = read_statuses
        self._stopping = stopping
        self._held: set[_Held] = set()
        self._lock = threading.Lock()
        self._by_tenant: Counter[uuid.UUID] = Counter()
        self._looking: asyncio.Task[None] | None = None
        self._is_unread = False
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="statuses")

    def offer(self, environ: dict[str, Any]) -> Offer | None:
        """Add an offer to the environment of a request that may wait, unless this process is stopping."""
        if self._read_statuses is None or environ["REQUEST_METHOD"] not in _METHODS:
            return None
        may_wait = preferred_wait(environ.get("HTTP_PREFER", "")) or environ["PATH_INFO"].startswith(GATEWAY)
        if not may_wait or self._stopping.exists():
            return None
        offer = environ[OFFER] = Offer(self._reserve)
        return offer

    async def wait(self, offer: Offer, gone: Any) -> int:
        """Wait until the status changes or the time is over. Return the seconds asked for, or 0 if interrupted.

        `gone` is awaitable: it ends when the client disconnects. Raise `ClientIsGoneError` in that case.
        """
        watched = offer.watched
        assert watched is not None  # noqa: S101 - the offer was taken
        held = _Held(watched)
        self._held.add(held)
        self._arrived.set()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        ended, left = asyncio.ensure_future(held.ended.wait()), asyncio.ensure_future(gone)
        try:
            await asyncio.wait((ended, left), timeout=offer.seconds, return_when=asyncio.FIRST_COMPLETED)
            if left.done() and not ended.done():
                raise ClientIsGoneError
            return 0 if held.is_interrupted else offer.seconds
        finally:
            self._held.discard(held)
            for future in (ended, left):
                future.cancel()

    def release(self, offer: Offer) -> None:
        """Count a request as no longer held, if its offer was taken."""
        if offer.watched is None:
            return
        with self._lock:
            tenant = offer.watched.tenant_id
            self._by_tenant[tenant] -= 1
            if not self._by_tenant[tenant]:
                del self._by_tenant[tenant]
        offer.watched = None

    def interrupt(self) -> None:
        """End all waits, because the process is stopping."""
        for held in self._held:
            held.is_interrupted = True
            held.ended.set()

    def _reserve(self, tenant_id: uuid.UUID) -> bool:
        with self._lock:
            if self._by_tenant.total() >= self._limits.waits or (
                self._by_tenant[tenant_id] >= self._limits.waits_per_tenant
            ):
                return False
            self._by_tenant[tenant_id] += 1
            return True

    async def _look(self) -> None:
        """Compare the statuses while requests wait."""
        while self._held:
            await self._pause()
            if self._stopping.exists():
                self.interrupt()
                await asyncio.sleep(_SHORTEST_PAUSE_S)
                continue
            now = time.monotonic()
            due = [held for held in self._held if held.due <= now]
            found = await self._read({held.watched for held in due}) if due else {}
            for held in due:
                held.looked_at = time.monotonic()
                if found is not None and found.get(held.watched.id) not in held.watched.during:
                    held.ended.set()
        self._looking = None
        await self._read(())

    async def _pause(self) -> None:
        """Return when the next request is due, or another one has arrived."""
        self._arrived.clear()
        pause = min(held.due for held in self._held) - time.monotonic()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), max(pause, 0.001))

    async def _read(self, asked: Collection[Watched]) -> Mapping[uuid.UUID, str] | None:
        """Return the statuses, read on a thread of its own; None if the database cannot be asked.

        The first failure in a row is logged.
        """
        assert self._read_statuses is not None  # noqa: S101 - offers are made with it only
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._read_statuses, asked)
        except Exception as error:  # noqa: BLE001 - asked again soon
            if not self._is_unread:
                log.warning("statuses_not_read", error=type(error).__name__)
            self._is_unread = True
            return None
        self._is_unread = self._is_unread and not asked
        return found


def keep_back(environ: Mapping[str, Any], status: int) -> bool:
    """Return True if the answer must not be given, because its request is held. Called on the thread of the request.

    Refusals and failures are given at once.
    """
    offer: Offer | None = environ.get(OFFER)
    if offer is None or offer.watched is None or status not in _SUCCESSES:
        return False
    offer.is_kept = True
    return True


def without_body(environ: Mapping[str, Any]) -> dict[str, Any]:
    """Return the environment of a request to be held, which must not keep a body in memory."""
    return {key: value for key, value in environ.items() if key != OFFER and key not in _OF_THE_BODY}


def again(environ: Mapping[str, Any], watched: Watched, waited: int, message: bytes = b"") -> dict[str, Any]:
    """Return the environment with which a held request is run again."""
    return {**environ, "wsgi.input": io.BytesIO(), RESUMED: watched, WAITED: waited, MESSAGE: message}
