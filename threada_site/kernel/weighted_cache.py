"""What a process keeps of rows that never change: the least recently used go first, within a bound of weight."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable


class WeightedCache[Key: Hashable, Value]:
    """Safe between threads. One entry heavier than the whole bound is kept until the next one comes."""

    def __init__(self, *, max_weight: int) -> None:
        self._max_weight = max_weight
        self._weight = 0
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """The value, or None when it is not kept."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: Key, value: Value, *, weight: int = 1) -> None:
        """Keep `value`, and let go of the oldest until all that is kept weighs no more than the bound."""
        with self._lock:
            known = self._entries.pop(key, None)
            self._weight += weight - (known[1] if known else 0)
            self._entries[key] = (value, weight)
            while self._weight > self._max_weight and len(self._entries) > 1:
                _, (_, gone) = self._entries.popitem(last=False)
                self._weight -= gone

    @property
    def weight(self) -> int:
        """Of all that is kept."""
        return self._weight

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._entries.clear()
            self._weight = 0
