"""Connections that are kept open between calls of one owner to one address.

A kept connection is used again only for the same owner, origin, TLS settings and network, and only if its address is
among the addresses that were resolved and checked for the new call. A receiver may close it at any time, so it is kept
for one second at most and is not used if the receiver has sent or closed anything since its last answer.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import Final

import httpcore

from integrations.transport.network import PinnedBackend

IDLE_S: Final = 1.0
"""Web servers close idle connections after two seconds or more."""
MOST_IDLE: Final = 64


@dataclass(slots=True)
class OpenConnection:
    """A connection to one receiver, with the backend that dialled its address."""

    connection: httpcore.HTTPConnection
    backend: PinnedBackend
    key: Hashable
    is_reused: bool = False
    idle_since: float = 0.0

    def is_complete(self) -> bool:
        """Return True if the last answer was read to its end, allows another request, and nothing followed it."""
        inner = getattr(self.connection, "_connection", None)
        state = getattr(inner, "_h11_state", None)
        return self.connection.is_idle() and state is not None and not state.trailing_data[0]

    def close(self) -> None:
        self.connection.close()
        self.backend.close()


class IdleConnections:
    """The idle connections of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[Hashable, list[OpenConnection]] = {}
        self._count = 0
        self._timer: threading.Timer | None = None

    def take(self, key: Hashable, addresses: Collection[str]) -> OpenConnection | None:
        """Return the idle connection of `key` to one of `addresses` that was used last, or None."""
        while True:
            with self._lock:
                kept = self._idle.get(key, [])
                each = next((one for one in reversed(kept) if one.backend.address in addresses), None)
                if each is None:
                    return None
                self._remove(each)
            if _is_fresh(each):
                each.is_reused = True
                return each
            each.close()

    def put(self, each: OpenConnection) -> None:
        """Keep a connection whose answer was read to its end. Close it if there are too many."""
        each.idle_since = time.monotonic()
        with self._lock:
            is_kept = self._count < MOST_IDLE
            if is_kept:
                self._idle.setdefault(each.key, []).append(each)
                self._count += 1
                if self._timer is None:
                    self._start_timer()
        if not is_kept:
            each.close()

    def forget(self) -> None:
        """Drop all connections without closing them for the parent process. Called after a fork, in the child.

        The lock may be held by a thread that the child does not have, so it is replaced.
        """
        for kept in self._idle.values():
            for each in kept:
                each.backend.close()
        self._lock, self._idle, self._count, self._timer = threading.Lock(), {}, 0, None

    def close_idle(self, *, since_s: float = IDLE_S) -> None:
        """Close connections that have been idle for `since_s`."""
        until = time.monotonic() - since_s
        with self._lock:
            old = [each for kept in self._idle.values() for each in kept if each.idle_since <= until]
            for each in old:
                self._remove(each)
            self._timer = None
            if self._count:
                self._start_timer()
        for each in old:
            each.close()

    def _remove(self, each: OpenConnection) -> None:
        kept = self._idle[each.key]
        kept.remove(each)
        self._count -= 1
        if not kept:
            del self._idle[each.key]

    def _start_timer(self) -> None:
        self._timer = threading.Timer(IDLE_S, self.close_idle)
        self._timer.name, self._timer.daemon = "idle connections", True
        self._timer.start()


def _is_fresh(each: OpenConnection) -> bool:
    return time.monotonic() - each.idle_since < IDLE_S and not each.backend.is_readable()


idle_connections: Final = IdleConnections()
os.register_at_fork(after_in_child=idle_connections.forget)
