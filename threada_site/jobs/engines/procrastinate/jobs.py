"""Jobs as rows of procrastinate."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from django.db import connection

from threada_site.database.batched_writes import Statement

TABLE: Final = "procrastinate_jobs"
_DEFER: Final = (
    "SELECT unnest(procrastinate_defer_jobs_v1(ARRAY[ROW(%s::varchar, %s::varchar, %s::integer, NULL::text, %s::text, "
    "%s::jsonb, %s::timestamptz)]::procrastinate_job_to_defer_v1[]))"
)

_DEFER_SEVERAL: Final = (
    "SELECT unnest(procrastinate_defer_jobs_v1(array_agg(ROW(j.queue, %s::varchar, j.priority, NULL::text, NULL::text, "
    "j.body::jsonb, NULL::timestamptz)::procrastinate_job_to_defer_v1 ORDER BY j.n))) "
    "FROM unnest(%s::varchar[], %s::integer[], %s::text[]) WITH ORDINALITY AS j (queue, priority, body, n)"
)
_REMOVE: Final = (
    "DELETE FROM procrastinate_jobs WHERE id IN (SELECT id FROM procrastinate_jobs WHERE status = 'todo' "
    "AND coalesce(args->>'execution_id', args->>'work_item_id') = ANY(%s::text[]) AND task_name = %s::varchar "
    "FOR UPDATE SKIP LOCKED) RETURNING 1"
)


class ProcrastinateJobs:
    """The table of procrastinate. A worker whose heartbeat stopped is dead; procrastinate itself does not retry its
    jobs."""

    def insertion(
        self, task: str, *, queue: str, priority: int, once: str | None, body: str, run_at: datetime | None
    ) -> Statement:
        return Statement(_DEFER, (queue, task, priority, once, body, run_at))

    def insertions(self, task: str, *, queues: list[str], priorities: list[int], bodies: list[str]) -> Statement:
        return Statement(_DEFER_SEVERAL, (task, queues, priorities, bodies))

    def removal(self, task: str, subjects: list[str]) -> Statement:
        return Statement(_REMOVE, (subjects, task))

    def live(self, task: str, argument: str, values: Collection[str]) -> set[str]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT j.args->>%s FROM procrastinate_jobs j LEFT JOIN procrastinate_workers w ON w.id = j.worker_id "
                "WHERE j.task_name = %s AND j.args->>%s = ANY(%s) AND (j.status = 'todo' "
                "OR (j.status = 'doing' AND w.last_heartbeat > now() - interval '30 seconds'))",
                [argument, task, argument, list(values)],
            )
            return {value for (value,) in cursor.fetchall()}

    def revive(self, tasks: Collection[str]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT procrastinate_retry_job_v2(j.id, now(), NULL, NULL, NULL) FROM procrastinate_jobs j "
                "LEFT JOIN procrastinate_workers w ON w.id = j.worker_id "
                "WHERE j.status = 'doing' AND j.task_name = ANY(%s) "
                "AND (w.id IS NULL OR w.last_heartbeat <= now() - interval '30 seconds')",
                [list(tasks)],
            )

    def forget_finished(self) -> None:
        """Delete finished jobs, because they make deleting a dead worker slow."""
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM procrastinate_jobs WHERE id IN (SELECT id FROM procrastinate_jobs "
                "WHERE status IN ('succeeded', 'failed', 'cancelled', 'aborted') LIMIT 20000)"
            )

    def adopt(self) -> int:
        """Take over jobs from the outbox: waiting jobs, and running jobs whose worker was lost. Return how many.

        Periodic jobs are dropped, because the scheduler enqueues them again.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                """
                WITH left_behind AS (
                    SELECT id FROM tenancy_job WHERE taken_at IS NULL OR beat_at <= now() - interval '30 seconds'
                     ORDER BY id LIMIT 5000 FOR UPDATE SKIP LOCKED),
                gone AS (
                    DELETE FROM tenancy_job j USING left_behind l WHERE j.id = l.id
                    RETURNING j.id, j.queue, j.task, j.priority, j.arguments, j.run_at, j.once)
                SELECT unnest(procrastinate_defer_jobs_v1(array_agg(ROW(queue, task, priority, NULL::text, NULL::text,
                           arguments, run_at)::procrastinate_job_to_defer_v1 ORDER BY id)))
                  FROM gone WHERE once IS NULL HAVING count(*) > 0
                """
            )
            return len(cursor.fetchall())
