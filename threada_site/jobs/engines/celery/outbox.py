"""Jobs as rows of an outbox that a relay publishes to a broker.

The row is the record of the job from start to end: it is inserted with the arguments, published, taken by one worker,
and deleted when the job is done. A message contains only the token of the row, so a duplicate message finds the row
taken or deleted.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
from django.db import connection

from threada_site.database.batched_writes import Statement

LEASE_S: Final = 15
"""Seconds for which a silent worker keeps its jobs, and after which an untaken message counts as lost."""
LOSSES: Final = 10
"""A job that was lost with this many workers is given up. The sweep of its own table finds the row it was about."""

_INSERT: Final = (
    "INSERT INTO tenancy_job (queue, task, priority, once, arguments, run_at) VALUES (%s::varchar, %s::varchar, "
    "%s::integer, %s::varchar, %s::jsonb, coalesce(%s::timestamptz, now())) "
    "ON CONFLICT (once) WHERE once IS NOT NULL AND taken_at IS NULL DO NOTHING RETURNING id"
)
_INSERT_SEVERAL: Final = (
    "INSERT INTO tenancy_job (queue, task, priority, arguments) SELECT j.queue, %s::varchar, j.priority, j.body::jsonb "
    "FROM unnest(%s::varchar[], %s::integer[], %s::text[]) WITH ORDINALITY AS j (queue, priority, body, n) "
    "ORDER BY j.n RETURNING id"
)
_REMOVE: Final = (
    "DELETE FROM tenancy_job WHERE id IN (SELECT id FROM tenancy_job WHERE taken_at IS NULL "
    "AND coalesce(arguments->>'execution_id', arguments->>'work_item_id') = ANY(%s::text[]) AND task = %s::varchar "
    "FOR UPDATE SKIP LOCKED) RETURNING 1"
)
_WAITS_AGAIN: Final = "taken_at = NULL, taken_by = NULL, beat_at = NULL, published_at = NULL, pool = NULL, once = NULL"
_RELEASE: Final = f"""
    WITH lost AS (
        SELECT id, losses FROM tenancy_job
         WHERE taken_at IS NOT NULL AND (beat_at <= now() - %(lease)s * interval '1 second' OR taken_by = %(of)s)
           AND (%(tasks)s::text[] IS NULL OR task = ANY(%(tasks)s)) FOR UPDATE SKIP LOCKED),
    given_up AS (
        DELETE FROM tenancy_job j USING lost WHERE j.id = lost.id AND lost.losses + 1 >= %(losses)s RETURNING j.task),
    again AS (
        UPDATE tenancy_job j SET {_WAITS_AGAIN}, losses = j.losses + 1 FROM lost
         WHERE j.id = lost.id AND lost.losses + 1 < %(losses)s)
    SELECT task FROM given_up
"""


class OutboxJobs:
    """The outbox. A job waits until a worker takes it, whether it is published or not. Finished jobs have no row."""

    def insertion(
        self, task: str, *, queue: str, priority: int, once: str | None, body: str, run_at: datetime | None
    ) -> Statement:
        return Statement(_INSERT, (queue, task, priority, once, body, run_at))

    def insertions(self, task: str, *, queues: list[str], priorities: list[int], bodies: list[str]) -> Statement:
        return Statement(_INSERT_SEVERAL, (task, queues, priorities, bodies))

    def removal(self, task: str, subjects: list[str]) -> Statement:
        return Statement(_REMOVE, (subjects, task))

    def live(self, task: str, argument: str, values: Collection[str]) -> set[str]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT arguments->>%s FROM tenancy_job WHERE task = %s AND arguments->>%s = ANY(%s) "
                "AND (taken_at IS NULL OR beat_at > now() - %s * interval '1 second')",
                [argument, task, argument, list(values), LEASE_S],
            )
            return {value for (value,) in cursor.fetchall()}

    def revive(self, tasks: Collection[str]) -> None:
        release(tasks=tasks)

    def forget_finished(self) -> None:
        """Do nothing: finished jobs have no row."""

    def adopt(self) -> int:
        """Take over jobs from procrastinate: waiting jobs, and running jobs whose worker was lost. Return how many.

        Periodic jobs are dropped, because the scheduler enqueues them again.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                """
                WITH left_behind AS (
                    SELECT j.id FROM procrastinate_jobs j LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
                     WHERE j.status = 'todo' OR (j.status = 'doing'
                       AND (w.id IS NULL OR w.last_heartbeat <= now() - interval '30 seconds'))
                     ORDER BY j.id LIMIT 5000 FOR UPDATE OF j SKIP LOCKED),
                gone AS (
                    DELETE FROM procrastinate_jobs j USING left_behind l WHERE j.id = l.id
                    RETURNING j.id, j.queue_name, j.task_name, j.priority, j.args, j.scheduled_at, j.queueing_lock)
                INSERT INTO tenancy_job (queue, task, priority, arguments, run_at)
                SELECT queue_name, task_name, priority, args, coalesce(scheduled_at, now()) FROM gone
                 WHERE queueing_lock IS NULL ORDER BY id
                """
            )
            return int(cursor.rowcount)


class Taken(NamedTuple):
    """A job that this worker has taken. `attempts` includes the current one."""

    id: int
    task: str
    arguments: dict[str, Any]
    attempts: int


def take(token: str, *, worker: str) -> Taken | None:
    """Take the job that a message names. Return None if it is done, taken, or no longer published."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tenancy_job SET taken_at = now(), beat_at = now(), taken_by = %s, attempts = attempts + 1 "
            "WHERE token = %s AND published_at IS NOT NULL AND taken_at IS NULL "
            "RETURNING id, task, arguments::text, attempts",
            [worker, token],
        )
        row = cursor.fetchone()
    return None if row is None else Taken(row[0], row[1], orjson.loads(row[2]), row[3])


def finish(job: Taken, *, worker: str) -> None:
    """Delete a finished job, unless another worker has taken it over."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tenancy_job WHERE id = %s AND taken_by = %s", [job.id, worker])


def put_back(job: Taken, *, worker: str, pause_s: int) -> None:
    """Let a job wait `pause_s` seconds and run again, unless another worker has taken it over."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE tenancy_job SET {_WAITS_AGAIN}, run_at = now() + %s * interval '1 second' "
            "WHERE id = %s AND taken_by = %s",
            [pause_s, job.id, worker],
        )


def beat(worker: str, *, pools: dict[str, dict[str, int]], running: Collection[int]) -> None:
    """Record that the worker is alive and runs the jobs `running`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tenancy_worker (id, pools, beat_at) VALUES (%s, %s::jsonb, now()) "
            "ON CONFLICT (id) DO UPDATE SET beat_at = now()",
            [worker, orjson.dumps(pools).decode()],
        )
        if running:
            cursor.execute(
                "UPDATE tenancy_job SET beat_at = now() WHERE id = ANY(%s) AND taken_by = %s", [list(running), worker]
            )


def living_workers() -> int:
    """Return the number of worker processes with a recent heartbeat."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM tenancy_worker WHERE beat_at > now() - %s * interval '1 second'", [LEASE_S]
        )
        return int(cursor.fetchone()[0])


def sign_off(worker: str) -> None:
    """Delete a worker that has stopped or died, and return its jobs to the queue."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tenancy_worker WHERE id = %s", [worker])
    release(of=worker)


def release(*, tasks: Collection[str] | None = None, of: str = "") -> list[str]:
    """Return jobs of silent workers, or of the worker `of`, to the queue. Return the tasks of the jobs that are given
    up."""
    with connection.cursor() as cursor:
        cursor.execute(
            _RELEASE,
            {"lease": LEASE_S, "losses": LOSSES, "of": of, "tasks": None if tasks is None else list(tasks)},
        )
        return [task for (task,) in cursor.fetchall()]
