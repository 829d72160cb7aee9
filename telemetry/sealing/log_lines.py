"""Log lines of the sealer in the format of the other processes: one JSON object per line, or text for a terminal."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO


class Log(Protocol):
    """Function that writes one log event of the sealer."""

    def __call__(self, level: str, event: str, **fields: Any) -> None: ...


class LineLog:
    """Writes events of at least `level` (a name of the logging module) to a stream."""

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
