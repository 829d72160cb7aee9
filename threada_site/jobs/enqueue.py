"""The seam to the queue: a job is enqueued in the transaction of the row it is about, or not at all.

Jobs name their task, so that a capability may enqueue what a layer above carries out. They hold ids alone; the rows
they are about are the truth. The engine behind this file can be replaced without touching a caller.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, Final

import orjson

from threada_site.database.batched_writes import Statement, insert_together
from threada_site.jobs.engines import Depth
from threada_site.jobs.engines.choice import jobs_table, other_jobs_table

DEFAULT_QUEUE: Final = "default"
MAINTENANCE_QUEUE: Final = "maintenance"
EXECUTION_QUEUE: Final = "executions"
"""Runs of actions: they wait for receivers."""
FIRST_QUEUE: Final = "first"
"""Of those, the only one of its tenant; it has slots of its own."""
SWEEP_QUEUE: Final = "sweeps"
"""Looking after what was left behind: it waits for nobody."""
EXPORT_QUEUE: Final = "exports"
"""Jobs that run for minutes: they wait for one another and for nobody else."""
REPLAY_QUEUE: Final = "replays"
"""Jobs that compute for minutes: likewise."""
DELIVERY_QUEUE: Final = "deliveries"
"""Jobs that wait for receivers of telemetry."""
NOTICE_QUEUE: Final = "notices"
"""Jobs that tell people: they wait for mail servers and chat services."""


def job(
    task: str,
    *,
    tenant_id: uuid.UUID,
    queue: str = DEFAULT_QUEUE,
    run_at: datetime | None = None,
    once: str | None = None,
    priority: int = 0,
    **arguments: Any,
) -> Statement:
    """The statement that enqueues `task`, to be run together with other writes (`insert_together(…, also=[job(…)])`).

    `run_at`: not before. `once`: at most one waiting job with this text. `priority`: the highest of a queue is
    taken first. Arguments are JSON values.
    """
    body = orjson.dumps({"tenant_id": str(tenant_id), **arguments}).decode()
    return jobs_table().insertion(task, queue=queue, priority=priority, once=once, body=body, run_at=run_at)


def enqueue(task: str, *, tenant_id: uuid.UUID, **options: Any) -> None:
    """Enqueue `task` now, in the open transaction."""
    insert_together([], also=[job(task, tenant_id=tenant_id, **options)])


def live_jobs(task: str, argument: str, values: list[str]) -> set[str]:
    """Which of `values` some job of `task` is about that waits, or runs in a worker whose heart beats."""
    return jobs_table().live(task, argument, values)


def revive_jobs(*tasks: str) -> None:
    """Have jobs of these tasks taken up again whose worker died."""
    jobs_table().revive(tasks)


def forget_finished_jobs() -> None:
    """Finished jobs are of no use: rows are the truth."""
    jobs_table().forget_finished()


def adopt_jobs() -> int:
    """Take over what was left with the engine that this instance ran on before. How many."""
    return jobs_table().adopt()


def depth_left_behind() -> Depth:
    """The same of what was left with the other engine; what the clock enqueues anew is not counted."""
    return other_jobs_table().depth(with_periodic=False)


def depth_of_queue() -> Depth:
    """How many jobs wait and run, and for how long the oldest has been due."""
    return jobs_table().depth()
