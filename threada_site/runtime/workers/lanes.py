"""Lanes: which queues are worked off side by side, so that sweeps never wait behind calls, nor calls behind exports."""

from __future__ import annotations

from dataclasses import dataclass

from threada_site.jobs.enqueue import (
    DEFAULT_QUEUE,
    DELIVERY_QUEUE,
    EXECUTION_QUEUE,
    EXPORT_QUEUE,
    FIRST_QUEUE,
    MAINTENANCE_QUEUE,
    NOTICE_QUEUE,
    REPLAY_QUEUE,
    SWEEP_QUEUE,
)


@dataclass(frozen=True, slots=True)
class Lane:
    """`slots`: jobs side by side in one worker. Where a broker is between: `process`, which of a worker's processes
    runs them, and `ahead`, how many messages may wait there besides, so that no slot waits for the relay."""

    name: str
    queues: tuple[str, ...]
    slots: int
    process: str
    ahead: int = 0

    @property
    def room(self) -> int:
        return self.slots + self.ahead


def all_lanes(concurrency: int) -> tuple[Lane, ...]:
    """The lanes of one worker. `concurrency`: slots for executions. Where lanes share a queue, the first is filled
    before the second."""
    return (
        Lane("first", (FIRST_QUEUE,), 2, "first"),
        Lane("executions", (FIRST_QUEUE, EXECUTION_QUEUE), concurrency, "executions", ahead=concurrency),
        Lane("default", (DEFAULT_QUEUE,), 2, "house", ahead=2),
        Lane("sweeps", (SWEEP_QUEUE,), 1, "house"),
        Lane("maintenance", (MAINTENANCE_QUEUE,), 1, "house"),
        Lane("exports", (EXPORT_QUEUE,), 1, "long"),
        Lane("replays", (REPLAY_QUEUE,), 1, "long"),
        Lane("deliveries", (DELIVERY_QUEUE,), 2, "long"),
        Lane("notices", (NOTICE_QUEUE,), 2, "long"),
    )
