"""Comparison of the stored nodes of a log with the nodes computed from its leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from telemetry.log.rows import LEVELS_APART
from telemetry.tlog.tree import Node
from telemetry.verification.checkpoints import LogQueries
from telemetry.verification.findings import Finding
from telemetry.verification.snapshot import stream


class StoredNodes:
    """The stored nodes of a log. Each level is read in step with the tree."""

    def __init__(self, rows: LogQueries) -> None:
        self._rows = rows
        self._levels: dict[int, Iterator[tuple[Any, ...]]] = {}

    def check(self, completed: Sequence[Node]) -> Iterator[Finding]:
        for node in completed:
            level, position = node.id
            if level == 0 or level % LEVELS_APART:
                continue
            if self._next(level) != (position, node.hash):
                first, last = position << level, ((position + 1) << level) - 1
                yield Finding(
                    self._rows.name,
                    "node_differs",
                    f"the kept hash over sequences {first} to {last} is missing or not that of their leaves",
                    sequence=first,
                )

    def report_extra_nodes(self) -> Iterator[Finding]:
        """Yield findings for stored nodes whose leaves do not exist."""
        for level in sorted(self._levels) or [LEVELS_APART]:
            if (extra := self._next(level)) is not None:
                first = extra[0] << level
                message = f"a hash is kept over sequences from {first} on, whose leaves are not all in the log"
                yield Finding(self._rows.name, "leaf_missing", message, sequence=first)

    def _next(self, level: int) -> tuple[int, bytes] | None:
        if level not in self._levels:
            self._levels[level] = stream(self._rows.nodes, [*self._rows.parameters, level])
        row = next(self._levels[level], None)
        return None if row is None else (row[0], bytes(row[1]))
