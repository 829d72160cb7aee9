"""Requests that wait for a change of a status. They use no thread: one query looks at all of them, five times a second.

All methods but `Offer.take` are called on the event loop.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from threada_site.kernel.waits import OFFER, WAITED, Offer, Watched, preferred_wait
from threada_site.runtime.web.limits import Limits
from threada_site.runtime.web.refusals import ClientIsGoneError

log = structlog.get_logger("threada.web")

_LOOK_EVERY_S: Final = 0.2
_SUCCESSES: Final = (200, 304)

type ReadStatuses = Callable[[Collection[Watched]], Mapping[uuid.UUID, str]]
"""Returns the current statuses of existing rows. With no rows it gives back what it holds, such as a connection."""


@dataclass(eq=False, slots=True)
class _Held:
    watched: Watched
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    is_interrupted: bool = False


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
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="statuses")

    def offer(self, environ: dict[str, Any]) -> Offer | None:
        """Add an offer to the environment of a request that prefers to wait, unless this process is stopping."""
        if self._read_statuses is None or environ["REQUEST_METHOD"] != "GET":
            return None
        if not preferred_wait(environ.get("HTTP_PREFER", "")) or self._stopping.exists():
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
            await asyncio.sleep(_LOOK_EVERY_S)
            if self._stopping.exists():
                self.interrupt()
                continue
            asked = {held.watched for held in self._held}
            found = await self._read(asked)
            for held in [each for each in self._held if found is not None and each.watched in asked]:
                if found.get(held.watched.id) != held.watched.status:  # type: ignore[union-attr]
                    held.ended.set()
        self._looking = None
        await self._read(())

    async def _read(self, asked: Collection[Watched]) -> Mapping[uuid.UUID, str] | None:
        """Return the statuses, read on a thread of its own; None if the database cannot be asked."""
        assert self._read_statuses is not None  # noqa: S101 - offers are made with it only
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._read_statuses, asked)
        except Exception as error:  # noqa: BLE001 - asked again soon
            log.warning("statuses_not_read", error=type(error).__name__)
            return None


def keep_back(environ: Mapping[str, Any], status: int) -> bool:
    """Return True if the answer must not be given, because its request is held. Called on the thread of the request.

    Refusals and failures are given at once.
    """
    offer: Offer | None = environ.get(OFFER)
    if offer is None or offer.watched is None or status not in _SUCCESSES:
        return False
    offer.is_kept = True
    return True


def again(environ: Mapping[str, Any], waited: int) -> dict[str, Any]:
    """Return the environment with which a held request is run again."""
    return {**{key: value for key, value in environ.items() if key != OFFER}, WAITED: waited}
