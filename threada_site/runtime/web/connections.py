"""Supervision of the connections of one process: limits, slow readers, and connections to close when it stops."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import structlog

from threada_site.runtime.web.addresses import Addresses, key_of
from threada_site.runtime.web.limits import Limits
from threada_site.runtime.web.sockets import OpenSocket, connections, cut, open_files

log = structlog.get_logger("threada.web")

_SUSPECT_S: Final = 60.0
"""Time for which requests of an address wait behind others after one of its connections had to be closed."""
_RESCAN_S: Final = 0.25
"""Shortest time between two searches for a connection that is not known yet."""


@dataclass(slots=True)
class _Known:
    """A connection between two looks. `reads_since` and `acknowledged`: start of the time the peer did not keep up."""

    socket: OpenSocket
    seen_at: float
    reads_since: float = 0.0
    acknowledged: int = 0


@dataclass(slots=True)
class _Response:
    """A response given to the server whose bytes may still be in its memory."""

    size: int
    since: float


@dataclass(slots=True)
class Connections:
    """Connections of this process to `port`. All methods are called on the event loop.

    `busy`: number of unanswered requests by peer. A connection with none is idle: it has sent no complete head, or
    waits for its next request.
    """

    port: int
    limits: Limits
    addresses: Addresses
    busy: Counter[str] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)
    paths: set[str] = field(default_factory=set)
    _closed: Counter[str] = field(default_factory=Counter)
    _suspects: dict[str, float] = field(default_factory=dict)
    _known: dict[str, _Known] = field(default_factory=dict)
    _responses: dict[str, _Response] = field(default_factory=dict)
    _held: int = 0
    _looked_at: float = 0.0

    def begin(self, peer: str) -> bool:
        """Count a request. Return True if it is the last one that its connection may send."""
        self._drop_response(peer)  # the previous response has been sent, or there would be no further request
        self.busy[peer] += 1
        self.served[peer] += 1
        return self.served[peer] >= self.limits.requests_per_connection

    def end(self, peer: str, *, size: int = 0) -> None:
        """Count a response of `size` bytes as given to the server."""
        self.busy[peer] -= 1
        if self.busy[peer] <= 0:
            del self.busy[peer]
        if size:
            self._drop_response(peer)
            self._responses[peer] = _Response(size, time.monotonic())
            self._held += size
            if self._held > self.limits.held_response_bytes:
                self._make_room(but_not=peer)

    def is_suspect(self, key: str) -> bool:
        """Return True if a connection of this client had to be closed lately."""
        return bool(self._suspects) and self._suspects.get(key, 0.0) > time.monotonic()

    def suspect(self, key: str) -> None:
        """Let requests of this client wait behind others for a while."""
        self._suspects[key] = time.monotonic() + _SUSPECT_S

    def cut(self, peer: str) -> None:
        """Close the connection of `peer`, so that an incomplete response is not taken for a complete one."""
        known = self._find(peer)
        if known is not None:
            cut(known.socket, port=self.port)

    def look(self) -> None:
        """Read the state of all connections. Close those beyond the limits and those whose peer reads too slowly."""
        now = self._refresh()
        for reason, known in [*self._slow_readers(now), *self._beyond_limits()]:
            self._close(known, reason)
        for reason, count in self._closed.items():
            log.warning("connections_closed", reason=reason, connections=count, open=len(self._known))
        self._closed.clear()

    def close_idle(self) -> None:
        """Close connections without a request, because the process is stopping."""
        self._refresh()
        for known in self._idle():
            if not known.socket.unsent:
                cut(known.socket, port=self.port)

    def _refresh(self) -> float:
        now = self._looked_at = time.monotonic()
        numbers, self.paths = open_files()
        before, self._known = self._known, {}
        for opened in connections(numbers, port=self.port):
            known = before.get(opened.peer) or _Known(opened, now)
            known.socket = opened
            self._known[opened.peer] = known
        for peer in [each for each in self._responses if self._is_sent(each, now)]:
            self._drop_response(peer)
        for peer in [each for each in self.served if each not in self._known and each not in self.busy]:
            del self.served[peer]
        for key in [each for each, until in self._suspects.items() if until < now]:
            del self._suspects[key]
        return now

    def _is_sent(self, peer: str, now: float) -> bool:
        known = self._known.get(peer)
        return known is None or (known.socket.unsent == 0 and now - self._responses[peer].since > 1.0)

    def _drop_response(self, peer: str) -> None:
        response = self._responses.pop(peer, None)
        if response is not None:
            self._held -= response.size

    def _make_room(self, *, but_not: str) -> None:
        """Close the connections whose responses have waited longest, until the limit is kept."""
        if time.monotonic() - self._looked_at > _RESCAN_S:
            self._refresh()
        for peer in list(self._responses):
            if self._held <= self.limits.held_response_bytes:
                break
            if peer == but_not:
                continue
            known = self._known.get(peer)
            if known is not None and known.socket.unsent:
                self._close(known, "responses_not_read")
                self._drop_response(peer)

    def _close(self, known: _Known, reason: str) -> None:
        """Close a connection. Its client is a suspect, unless all clients together had too many."""
        address = known.socket.address
        if reason != "too_many" and not self.addresses.is_proxy(address):
            self.suspect(key_of(address))
        if cut(known.socket, port=self.port):
            self._closed[reason] += 1

    def _find(self, peer: str) -> _Known | None:
        if peer not in self._known:
            self._refresh()
        return self._known.get(peer)

    def _slow_readers(self, now: float) -> Iterator[tuple[str, _Known]]:
        """Yield connections that accepted fewer than the minimum of bytes per second for `send_s` seconds."""
        for known in self._known.values():
            opened = known.socket
            if not opened.unsent:
                known.reads_since = 0.0
            elif not known.reads_since:
                known.reads_since, known.acknowledged = now, opened.acknowledged
            elif now - known.reads_since >= self.limits.send_s:
                needed = self.limits.bytes_per_second * (now - known.reads_since)
                if opened.acknowledged - known.acknowledged < min(needed, opened.unsent):
                    yield "slow_reader", known
                known.reads_since, known.acknowledged = now, opened.acknowledged

    def _beyond_limits(self) -> Iterator[tuple[str, _Known]]:
        """Yield idle connections: first of addresses that have too many, then of all, largest number first."""
        counts = Counter(key_of(known.socket.address) for known in self._known.values())
        excess = len(self._known) - self.limits.connections
        if excess <= 0 and max(counts.values(), default=0) <= self.limits.connections_per_address:
            return
        idle = list(self._idle())
        closed = set()
        for known in idle:
            address = known.socket.address
            if counts[key_of(address)] <= self.limits.connections_per_address or self.addresses.is_proxy(address):
                continue
            counts[key_of(address)] -= 1
            excess -= 1
            closed.add(known.socket.peer)
            yield "too_many_of_one_address", known
        rest = [known for known in idle if known.socket.peer not in closed]
        rest.sort(
            key=lambda known: (self.addresses.is_proxy(known.socket.address), -counts[key_of(known.socket.address)])
        )
        for known in rest[: max(excess, 0)]:
            yield "too_many", known

    def _idle(self) -> Iterator[_Known]:
        """Yield connections without an unanswered request: those without a response under way first, then by age."""
        found = [known for peer, known in self._known.items() if peer not in self.busy]
        yield from sorted(found, key=lambda known: (known.socket.unsent > 0, known.seen_at))
