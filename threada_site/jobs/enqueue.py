"""Interface of the job queue: a job is enqueued in the transaction of the row it is about, or not at all.

Jobs name their task, so that a module may enqueue a task of a layer above. Their arguments are ids; the rows they name
are the source of truth. The engine can be replaced without changing a caller.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import orjson
from django.conf import settings

from threada_site.database.batched_writes import run_statement
from threada_site.jobs.engines.choice import jobs_table, other_engine
from threada_site.jobs.engines.depth import Depth, depth_of

DEFAULT_QUEUE: Final = "default"
MAINTENANCE_QUEUE: Final = "maintenance"
EXECUTION_QUEUE: Final = "executions"
"""Runs of actions, which wait for receivers."""
FIRST_QUEUE: Final = "first"
"""The only run of a tenant at the moment; this queue has slots of its own."""
SWEEP_QUEUE: Final = "sweeps"
"""Sweeps, which find work that was left behind. They wait for no other job."""
EXPORT_QUEUE: Final = "exports"
"""Exports, which run for minutes. They wait only for one another."""
REPLAY_QUEUE: Final = "replays"
"""Replays, which compute for minutes. They wait only for one another."""
DELIVERY_QUEUE: Final = "deliveries"
"""Deliveries, which wait for receivers of telemetry."""
ISSUER_QUEUE: Final = "issuers"
"""Fetches of keys, which wait for issuers of tokens. They wait only for one another."""
TOOLS_QUEUE: Final = "tools"
"""Readings of tools, which wait for MCP servers. They wait only for one another."""
NOTICE_QUEUE: Final = "notices"
"""Notices, which wait for mail servers and chat services."""


def enqueue(
    task: str,
    *,
    tenant_id: uuid.UUID,
    queue: str = DEFAULT_QUEUE,
    run_at: datetime | None = None,
    once: str | None = None,
    priority: int = 0,
    **arguments: Any,
) -> None:
    """Enqueue `task` in the open transaction, together with the other writes of a `batched_writes` block.

    `run_at`: earliest start. `once`: at most one waiting job has this text. `priority`: the highest of a queue is taken
    first. Arguments are JSON values.
    """
    body = orjson.dumps({"tenant_id": str(tenant_id), **arguments}).decode()
    run_statement(jobs_table().insertion(task, queue=queue, priority=priority, once=once, body=body, run_at=run_at))


def enqueue_several(
    task: str, places: Sequence[tuple[str, int]], *, tenant_id: uuid.UUID, **arguments: list[str]
) -> None:
    """Enqueue jobs of `task` in one statement, each with a queue, a priority and one value of each argument."""
    bodies = [
        orjson.dumps({"tenant_id": str(tenant_id), **dict(zip(arguments, values, strict=True))}).decode()
        for values in zip(*arguments.values(), strict=True)
    ]
    queues, priorities = [queue for queue, _ in places], [priority for _, priority in places]
    run_statement(jobs_table().insertions(task, queues=queues, priorities=priorities, bodies=bodies))


def withdraw_jobs(task: str, subjects: list[str]) -> None:
    """Delete waiting jobs of `task` whose `execution_id`, or else `work_item_id`, is one of `subjects`.

    Runs together with the other writes of a `batched_writes` block. Jobs that a worker takes at the moment remain.
    """
    run_statement(jobs_table().removal(task, subjects))


def live_jobs(task: str, argument: str, values: list[str]) -> set[str]:
    """Return the subset of `values` that has a pending job of `task`, or one running on a worker with a recent
    heartbeat."""
    return jobs_table().live(task, argument, values)


def revive_jobs(*tasks: str) -> None:
    """Return jobs of these tasks to the queue whose worker died."""
    jobs_table().revive(tasks)


def forget_finished_jobs() -> None:
    """Delete finished jobs; the rows they were about are the source of truth."""
    jobs_table().forget_finished()


def adopt_jobs() -> int:
    """Take over jobs of the engine that this instance used before. Return how many."""
    return jobs_table().adopt()


def depth_left_behind() -> Depth:
    """Return the depth of the other engine's queue, without periodic jobs."""
    return depth_of(other_engine(), with_periodic=False)


def depth_of_queue() -> Depth:
    """Return how many jobs wait and run, and how long the oldest has been due."""
    return depth_of(settings.THREADA_ENGINE)
