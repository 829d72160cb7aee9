"""Worker pools: queues that are worked off concurrently: no sweep waits for a call and no call for an export."""

from __future__ import annotations

from dataclasses import dataclass

from threada_site.jobs.enqueue import (
    DEFAULT_QUEUE,
    DELIVERY_QUEUE,
    EXECUTION_QUEUE,
    EXPORT_QUEUE,
    FIRST_QUEUE,
    ISSUER_QUEUE,
    MAINTENANCE_QUEUE,
    NOTICE_QUEUE,
    REPLAY_QUEUE,
    SWEEP_QUEUE,
    TOOLS_QUEUE,
)


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """A group of queues with slots of its own.

    `slots`: concurrent jobs in one worker. With a broker, also `process`: the worker process that runs the pool, and
    `ahead`: messages that may wait there, so that no slot waits for the relay.
    """

    name: str
    queues: tuple[str, ...]
    slots: int
    process: str
    ahead: int = 0

    @property
    def capacity(self) -> int:
        return self.slots + self.ahead


def all_pools(concurrency: int) -> tuple[WorkerPool, ...]:
    """Return the pools of one worker. `concurrency`: slots for executions. Of pools that share a queue, the first is
    filled first."""
    ahead = max(1, concurrency // 2)  # with more, an execution would wait twice for calls that hang for a second
    return (
        WorkerPool("first", (FIRST_QUEUE,), 2, "first"),
        WorkerPool("executions", (FIRST_QUEUE, EXECUTION_QUEUE), concurrency, "executions", ahead=ahead),
        WorkerPool("default", (DEFAULT_QUEUE,), 2, "default", ahead=2),
        WorkerPool("sweeps", (SWEEP_QUEUE,), 1, "default"),
        WorkerPool("maintenance", (MAINTENANCE_QUEUE,), 1, "default"),
        WorkerPool("exports", (EXPORT_QUEUE,), 1, "long"),
        WorkerPool("replays", (REPLAY_QUEUE,), 1, "long"),
        WorkerPool("deliveries", (DELIVERY_QUEUE,), 2, "long"),
        WorkerPool("issuers", (ISSUER_QUEUE,), 2, "long"),
        WorkerPool("tools", (TOOLS_QUEUE,), 2, "long"),
        WorkerPool("notices", (NOTICE_QUEUE,), 2, "long"),
    )
