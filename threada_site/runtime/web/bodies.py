"""Request bodies: read on the event loop under deadlines, within a budget of bytes that have arrived."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast

from threada_site.kernel.errors import PayloadTooLarge, RequestTimeout, ServerBusy
from threada_site.runtime.web.limits import Limits
from threada_site.runtime.web.refusals import ClientIsGoneError

READ_WHOLE: Final = 16 * 1024
"""Declared size up to which a body is read in one step. With pieces, each costs a turn of the event loop."""


@dataclass(eq=False, slots=True)
class Reading:
    """A body that is being read or has been read. `cancel` ends it while it is being read."""

    client: str
    cancel: Callable[[], object] | None = None
    arrived: int = 0
    is_evicted: bool = False


@dataclass(slots=True)
class BodyBudget:
    """Bytes of bodies that have arrived and are not released yet. Used on the event loop only.

    Counting arrived bytes instead of declared ones keeps connections that announce much and send little from using the
    budget up.
    """

    limit: int
    held: int = 0
    _unfinished: dict[Reading, None] = field(default_factory=dict)
    _by_client: dict[str, int] = field(default_factory=dict)

    def begin(self, reading: Reading) -> None:
        self._unfinished[reading] = None

    def add(self, reading: Reading, size: int) -> None:
        """Count bytes. Beyond the limit end the unfinished body that has waited longest of the client with most bytes.

        Raise `ServerBusy` if no unfinished body but this one is left.
        """
        reading.arrived += size
        self.held += size
        self._by_client[reading.client] = self._by_client.get(reading.client, 0) + size
        while self.held > self.limit:
            others = [each for each in self._unfinished if each is not reading and not each.is_evicted and each.arrived]
            if not others:
                raise ServerBusy("The bodies of other requests use up the memory for bodies. Retry in a moment.")
            evicted = max(others, key=lambda each: self._by_client.get(each.client, 0))
            if self._by_client.get(evicted.client, 0) < self._by_client[reading.client]:
                raise ServerBusy("The bodies that you are sending use up the memory for bodies. Retry in a moment.")
            self._evict(evicted)

    def finish(self, reading: Reading) -> None:
        """Keep the bytes counted, but never end this reading for another one."""
        reading.cancel = None
        self._unfinished.pop(reading, None)

    def release(self, reading: Reading) -> None:
        """Stop counting the bytes of this body."""
        self._unfinished.pop(reading, None)
        self.held -= reading.arrived
        left = self._by_client.get(reading.client, 0) - reading.arrived
        reading.arrived = 0
        if left > 0:
            self._by_client[reading.client] = left
        else:
            self._by_client.pop(reading.client, None)

    def evict_all(self) -> None:
        """End all unfinished bodies, because the process is stopping."""
        for reading in [each for each in self._unfinished if not each.is_evicted]:
            self._evict(reading)

    def _evict(self, reading: Reading) -> None:
        reading.is_evicted = True
        if reading.cancel is not None:
            reading.cancel()
        self.release(reading)


def declared_size(headers: Any) -> int | None:
    """Return the size that `Content-Length` declares; None for a chunked body; 0 without a body."""
    if headers.get("transfer-encoding"):
        return None
    length = headers.get("content-length") or "0"
    return int(length) if length.isascii() and length.isdigit() else 0


async def read_body(
    proto: Any,
    *,
    size: int | None,
    reading: Reading,
    budget: BodyBudget,
    limits: Limits,
    most: int,
) -> bytes:
    """Return the whole body. `size`: declared size, None for a chunked body. `most`: the largest size allowed.

    Raise `PayloadTooLarge`, `RequestTimeout`, `ServerBusy`, or `ClientIsGoneError` for a body that ends too early.
    """
    if size is not None and size > most:
        raise PayloadTooLarge(f"The body has {size} bytes; {most} are allowed.")
    task = cast("asyncio.Task[None]", asyncio.current_task())
    reading.cancel = task.cancel
    budget.begin(reading)
    try:
        if size is not None and size <= READ_WHOLE:
            async with asyncio.timeout(limits.body_deadline(size)):
                body: bytes = await _whole(proto)
            budget.add(reading, len(body))
        else:
            body = await _in_pieces(proto, most=most, reading=reading, budget=budget, limits=limits)
    except TimeoutError:
        raise RequestTimeout from None
    except asyncio.CancelledError:
        if not reading.is_evicted:
            raise
        task.uncancel()
        raise ServerBusy(headers={"Retry-After": "1"}) from None
    finally:
        budget.finish(reading)
    if size is not None and len(body) != size:
        raise ClientIsGoneError
    return body


async def _whole(proto: Any) -> bytes:
    try:
        return bytes(await proto())
    except RuntimeError:
        raise ClientIsGoneError from None


async def _in_pieces(proto: Any, *, most: int, reading: Reading, budget: BodyBudget, limits: Limits) -> bytes:
    loop = asyncio.get_running_loop()
    began = loop.time()
    body = bytearray()
    async with asyncio.timeout(limits.body_deadline(0)) as deadline:
        async for piece in _pieces(proto):
            body += piece
            budget.add(reading, len(piece))
            if len(body) > most:
                raise PayloadTooLarge(f"The body has more than the {most} bytes allowed.")
            deadline.reschedule(began + limits.body_deadline(len(body)))
    return bytes(body)


async def _pieces(proto: Any) -> AsyncIterator[bytes]:
    """Yield the pieces of a body. Raise `ClientIsGoneError` if it does not end as its framing says.

    The interface marks the end and an error alike, with an empty piece. Only after the end no further piece exists.
    Trailers also give an empty piece; bodies with trailers are refused.
    """
    pieces = aiter(proto)
    while piece := await anext(pieces):
        yield bytes(piece)
    with suppress(StopAsyncIteration):
        await anext(pieces)
        raise ClientIsGoneError


class UnreadBody:
    """`wsgi.input` of a request that the application is expected to refuse. It is read only if the application asks.

    `read_all` is called on the event loop, under the same deadlines.
    """

    def __init__(self, read_all: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self._read_all = read_all
        self._loop = loop
        self._content: io.BytesIO | None = None

    def read(self, size: int | None = -1) -> bytes:
        return self._read().read(size)

    def readline(self, size: int | None = -1) -> bytes:
        return self._read().readline(size)

    def readlines(self, hint: int = -1) -> list[bytes]:
        return self._read().readlines(hint)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._read())

    def _read(self) -> io.BytesIO:
        if self._content is None:
            self._content = io.BytesIO(asyncio.run_coroutine_threadsafe(self._read_all(), self._loop).result())
        return self._content
