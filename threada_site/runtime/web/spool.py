"""Temporary files of responses that are too large for memory, within a bound of disk space."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path


@dataclass(slots=True)
class Spool:
    """Files in `folder`. Threads reserve space and create files; the event loop removes those that were sent.

    `opened_within_s`: time that the server has to open a file that it was given.
    """

    folder: Path
    limit: int
    opened_within_s: float = 10.0
    _used: int = 0
    _sizes: dict[Path, int] = field(default_factory=dict)
    _given_at: dict[Path, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: count[int] = field(default_factory=count)

    def new_path(self) -> Path:
        with self._lock:
            path = self.folder / f"response-{next(self._numbers)}"
            self._sizes[path] = 0
        return path

    def reserve(self, path: Path, size: int) -> bool:
        """Reserve space for a file. Return False if the limit does not allow it."""
        with self._lock:
            if self._used + size > self.limit:
                return False
            self._used += size
            self._sizes[path] += size
            return True

    def give(self, path: Path) -> None:
        """Leave the file to the server, which opens it soon. It is removed once it is no longer open."""
        with self._lock:
            self._given_at[path] = time.monotonic()

    def remove(self, path: Path) -> None:
        """Remove a file and free its space."""
        with self._lock:
            self._used -= self._sizes.pop(path, 0)
            self._given_at.pop(path, None)
        with suppress(FileNotFoundError):
            path.unlink()

    def remove_sent(self, open_paths: set[str]) -> None:
        """Remove the files that the server has opened and closed. `open_paths`: files that the process has open."""
        now = time.monotonic()
        with self._lock:
            given = list(self._given_at.items())
        for path, since in given:
            if now - since > self.opened_within_s and str(path) not in open_paths:
                self.remove(path)
