"""Execution of queued jobs in the test's process, in the order of their creation."""

from __future__ import annotations

from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
from django.conf import settings
from django.db import connection

from threada_site.database.roles import platform_role
from threada_site.jobs.enqueue import NOTICE_QUEUE
from threada_site.jobs.registry import all_tasks, run_task

_TABLES = {
    "procrastinate": (
        "procrastinate_jobs",
        """SELECT id, queue_name AS queue, task_name AS task, args AS arguments, priority, scheduled_at AS run_at
             FROM procrastinate_jobs WHERE status = 'todo'""",
    ),
    "celery": (
        "tenancy_job",
        "SELECT id, queue, task, arguments, priority, run_at FROM tenancy_job WHERE taken_at IS NULL",
    ),
}
TABLE, _JOBS = _TABLES[settings.THREADA_ENGINE]
"""Where the engine of this run keeps jobs, for tests that count rows or copy them; and those that wait there."""


role_of_this_process: Final[ContextVar[str | None]] = ContextVar("role_of_this_process", default=None)
"""Role whose key alone signs receipts now: `web` in requests, `worker` in jobs; None for any."""


class Waiting(NamedTuple):
    """Queued job."""

    queue: str
    task: str
    arguments: dict[str, Any]
    priority: int
    run_at: datetime | None


def waiting_jobs() -> list[Waiting]:
    """Return all queued jobs in their order, including those that are not due."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT queue, task, arguments, priority, run_at FROM ({_JOBS}) j ORDER BY id")
        return [Waiting(row[0], row[1], _loaded(row[2]), row[3], row[4]) for row in cursor.fetchall()]


def queued_jobs(*, telling: bool = False) -> list[tuple[str, dict[str, Any]]]:
    """Return task name and arguments of every queued job, including those that are not due.

    Jobs of notices are excluded, or with `telling` the only ones.
    """
    return [(job.task, job.arguments) for job in waiting_jobs() if (job.queue == NOTICE_QUEUE) == telling]


def lose_all_jobs(task: str = "%") -> None:
    """Delete queued jobs; `task`: those with a name LIKE it."""
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {TABLE} WHERE id IN (SELECT id FROM ({_JOBS}) j WHERE task LIKE %s)", [task])


def lose_workers(task: str, *, heard_of_s_ago: int) -> None:
    """Mark these jobs as taken by a worker with its last heartbeat `heard_of_s_ago` seconds ago."""
    with platform_role(), connection.cursor() as cursor:
        if settings.THREADA_ENGINE == "celery":
            cursor.execute(
                "UPDATE tenancy_job SET pool = 'default', published_at = now(), taken_at = now(), taken_by = 'lost', "
                "beat_at = now() - %s * interval '1 second' WHERE task LIKE %s",
                [heard_of_s_ago, task],
            )
            return
        cursor.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - %s * interval '1 second') RETURNING id",
            [heard_of_s_ago],
        )
        cursor.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s WHERE task_name LIKE %s",
            [cursor.fetchone()[0], task],
        )


def finish_first_job() -> None:
    """Mark the first job as done, like a worker."""
    with platform_role(), connection.cursor() as cursor:
        if settings.THREADA_ENGINE == "celery":
            cursor.execute(f"DELETE FROM {TABLE} WHERE id = (SELECT min(id) FROM {TABLE})")
            return
        cursor.execute(f"UPDATE {TABLE} SET status = 'doing' WHERE id = (SELECT min(id) FROM {TABLE})")
        cursor.execute(f"UPDATE {TABLE} SET status = 'succeeded' WHERE status = 'doing'")


def count_of_jobs() -> int:
    """Return the number of rows of the table of jobs."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {TABLE}")
        return int(cursor.fetchone()[0])


def run_jobs(*, ahead_of_time: bool = False) -> list[str]:
    """Run all due jobs, and the jobs they enqueue. Return the names of the tasks, without those of notices.

    With `ahead_of_time`, jobs that are scheduled for later run too.
    """
    ran = []
    while (taken := _take(ahead_of_time=ahead_of_time)) is not None:
        name, arguments = taken
        token = role_of_this_process.set("worker")
        try:
            run_task(name, arguments)
        finally:
            role_of_this_process.reset(token)
        if all_tasks()[name].queue != NOTICE_QUEUE:
            ran.append(name)
        assert len(ran) < 1000, f"jobs keep enqueueing jobs: {ran[-5:]}"
    return ran


def _take(*, ahead_of_time: bool) -> tuple[str, dict[str, Any]] | None:
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(
            f"WITH next AS (SELECT id, task, arguments FROM ({_JOBS}) j "
            "WHERE %s OR run_at IS NULL OR run_at <= now() ORDER BY id LIMIT 1), "
            f"gone AS (DELETE FROM {TABLE} WHERE id IN (SELECT id FROM next)) SELECT task, arguments FROM next",
            [ahead_of_time],
        )
        row = cursor.fetchone()
    return None if row is None else (row[0], _loaded(row[1]))


def _loaded(arguments: Any) -> dict[str, Any]:
    return orjson.loads(arguments) if isinstance(arguments, str | bytes) else arguments
