"""Thread-safe least-recently-used cache, bounded by the total weight of its entries."""

from __future__ import annotations

import threading
from collections.abc import Hashable

from cachetools import LRUCache


class WeightedCache[Key: Hashable, Value]:
    """A `cachetools.LRUCache` behind a lock. An entry heavier than the bound counts as the whole bound."""

    def __init__(self, *, max_weight: int) -> None:
        self._entries: LRUCache[Key, tuple[Value, int]] = LRUCache(
            max_weight, getsizeof=lambda entry: min(entry[1], max_weight)
        )
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """Return the value, or None if it is not cached."""
        with self._lock:
            entry = self._entries.get(key)
        return None if entry is None else entry[0]

    def put(self, key: Key, value: Value, *, weight: int = 1) -> None:
        """Cache `value` and drop the least recently used entries until the total weight is within the bound."""
        with self._lock:
            self._entries[key] = (value, weight)

    def drop(self, key: Key) -> None:
        """Remove the entry, if there is one."""
        with self._lock:
            self._entries.pop(key, None)

    @property
    def weight(self) -> int:
        """Total weight of the cached entries."""
        return int(self._entries.currsize)

    def clear(self) -> None:
        """Drop all entries."""
        with self._lock:
            self._entries.clear()
