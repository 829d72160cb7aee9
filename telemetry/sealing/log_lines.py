"""Log lines of the sealer, as the other processes write them: one JSON object a line, or text for a person watching."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO


class Log(Protocol):
    """Where the sealer says what happens."""

    def __call__(self, level: str, event: str, **fields: Any) -> None: ...


class LineLog:
    """Writes to a stream what is at least as grave as `level` (a name as logging has them)."""

    _ORDER = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

    def __init__(self, stream: TextIO = sys.stderr, *, level: str = "INFO", readable: bool = False) -> None:
        self._stream = stream
        self._readable = readable
        self._written = self._ORDER[self._ORDER.index(level) :] if level in self._ORDER else self._ORDER

    def __call__(self, level: str, event: str, **fields: Any) -> None:
        if level.upper() not in self._written:
            return
        instant = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        if self._readable:
            said = " ".join(f"{name}={value}" for name, value in fields.items())
            line = f"{instant} [{level}] {event} {said} [threada.sealer]"
        else:
            line = json.dumps(
                {"event": event, **fields, "level": level, "logger": "threada.sealer", "timestamp": instant},
                default=str,
            )
        print(line, file=self._stream, flush=True)
