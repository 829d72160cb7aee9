"""Jobs as rows of the outbox, of which a relay tells a broker.

The row is the job's record from the first to the last: it is enqueued with what it is about, published, taken by one
worker, and deleted when it is done. A message holds nothing but the row's token, and one too many finds the row taken,
or gone.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
from django.db import connection

from threada_site.database.batched_writes import Statement
from threada_site.jobs.engines import Depth

LEASE_S: Final = 15
"""For as long a worker that is not heard of keeps its jobs, and a message that nobody takes is waited for."""
LOSSES: Final = 10
"""A job that has cost so many workers is given up: whatever row it is about is found by its sweep."""

_INSERT: Final = (
    "INSERT INTO tenancy_job (queue, task, priority, once, arguments, run_at) VALUES (%s::varchar, %s::varchar, "
    "%s::integer, %s::varchar, %s::jsonb, coalesce(%s::timestamptz, now())) "
    "ON CONFLICT (once) WHERE once IS NOT NULL AND taken_at IS NULL DO NOTHING RETURNING id"
)
_DEPTH: Final = """
    SELECT count(*) FILTER (WHERE taken_at IS NULL),
           count(*) FILTER (WHERE taken_at IS NOT NULL),
           coalesce(extract(epoch FROM now() - min(run_at) FILTER (
               WHERE taken_at IS NULL AND run_at <= now())), 0)::float
      FROM tenancy_job WHERE %s OR once IS NULL
"""
_WAITS_AGAIN: Final = "taken_at = NULL, taken_by = NULL, beat_at = NULL, published_at = NULL, lane = NULL, once = NULL"
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
    """What waits has been taken by nobody, whether it is published or not; what is done has no row."""

    def insertion(
        self, task: str, *, queue: str, priority: int, once: str | None, body: str, run_at: datetime | None
    ) -> Statement:
        return Statement(_INSERT, (queue, task, priority, once, body, run_at))

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
        """There are none."""

    def adopt(self) -> int:
        """Of what runs in procrastinate, only what lost its worker; the clock enqueues periodic tasks anew."""
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

    def depth(self, *, with_periodic: bool = True) -> Depth:
        with connection.cursor() as cursor:
            cursor.execute(_DEPTH, [with_periodic])
            return Depth(*cursor.fetchone())


class Taken(NamedTuple):
    """A job that this worker has taken. `attempts`: this one included."""

    id: int
    task: str
    arguments: dict[str, Any]
    attempts: int


def take(token: str, *, worker: str) -> Taken | None:
    """Take the job that a message names; None when that is done, or taken, or not published any more."""
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
    """It is done; unless somebody else has taken over."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tenancy_job WHERE id = %s AND taken_by = %s", [job.id, worker])


def put_back(job: Taken, *, worker: str, pause_s: int) -> None:
    """It is to be begun again; unless somebody else has taken over."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE tenancy_job SET {_WAITS_AGAIN}, run_at = now() + %s * interval '1 second' "
            "WHERE id = %s AND taken_by = %s",
            [pause_s, job.id, worker],
        )


def beat(worker: str, *, pools: dict[str, dict[str, int]], running: Collection[int]) -> None:
    """This worker lives, and runs these."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tenancy_worker (id, lanes, beat_at) VALUES (%s, %s::jsonb, now()) "
            "ON CONFLICT (id) DO UPDATE SET beat_at = now()",
            [worker, orjson.dumps(pools).decode()],
        )
        if running:
            cursor.execute(
                "UPDATE tenancy_job SET beat_at = now() WHERE id = ANY(%s) AND taken_by = %s", [list(running), worker]
            )


def living_workers() -> int:
    """How many processes of workers were heard of lately."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM tenancy_worker WHERE beat_at > now() - %s * interval '1 second'", [LEASE_S]
        )
        return int(cursor.fetchone()[0])


def sign_off(worker: str) -> None:
    """This worker is gone, or was found dead: what it had taken waits again."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tenancy_worker WHERE id = %s", [worker])
    release(of=worker)


def release(*, tasks: Collection[str] | None = None, of: str = "") -> list[str]:
    """What a worker had taken of which nothing is heard waits again; the tasks of those that are given up."""
    with connection.cursor() as cursor:
        cursor.execute(
            _RELEASE,
            {"lease": LEASE_S, "losses": LOSSES, "of": of, "tasks": None if tasks is None else list(tasks)},
        )
        return [task for (task,) in cursor.fetchall()]
