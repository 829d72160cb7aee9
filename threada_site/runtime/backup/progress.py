"""Progress of backup and restore: a line per part, and on a terminal the bytes so far."""

from __future__ import annotations

import sys
import time
from typing import Any, Self


class BackupProgress:
    """Prints to standard error. `step` is a `Watch`."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._is_terminal = sys.stderr.isatty()
        self._part, self._bytes, self._shown_at = "", 0, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_part()

    def say(self, sentence: str) -> None:
        self._end_part()
        self._stream.write(f"  … {sentence}")

    def step(self, name: str, size: int) -> None:
        part = name.partition("/")[0]
        if part != self._part:
            self._end_part()
            self._part = part
        self._bytes += size
        now = time.monotonic()
        if self._is_terminal and now - self._shown_at >= 0.2:
            self._shown_at = now
            sys.stderr.write(f"\r\033[K  … {self._part}: {_megabytes(self._bytes)}")
            sys.stderr.flush()

    def _end_part(self) -> None:
        if self._part:
            if self._is_terminal:
                sys.stderr.write("\r\033[K")
            self._stream.write(f"  … {self._part}: {_megabytes(self._bytes)}")
        self._part, self._bytes = "", 0


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
