"""Depth of the queues of both engines, by SQL, so that jobs left with the engine that is not in use are noticed."""

from __future__ import annotations

from typing import Final, NamedTuple

from django.db import connection

_DEPTHS: Final = {
    "procrastinate": """
        SELECT count(*) FILTER (WHERE j.status = 'todo'),
               count(*) FILTER (WHERE j.status = 'doing'),
               coalesce(extract(epoch FROM now() - min(coalesce(j.scheduled_at, e.at)) FILTER (
                   WHERE j.status = 'todo' AND coalesce(j.scheduled_at, now()) <= now())), 0)::float
          FROM procrastinate_jobs j
          LEFT JOIN procrastinate_events e ON e.job_id = j.id AND e.type = 'deferred'
         WHERE j.status IN ('todo', 'doing') AND (%s OR j.queueing_lock IS NULL)
    """,
    "celery": """
        SELECT count(*) FILTER (WHERE taken_at IS NULL),
               count(*) FILTER (WHERE taken_at IS NOT NULL),
               coalesce(extract(epoch FROM now() - min(run_at) FILTER (
                   WHERE taken_at IS NULL AND run_at <= now())), 0)::float
          FROM tenancy_job WHERE %s OR once IS NULL
    """,
}


class Depth(NamedTuple):
    """Size of a queue. `oldest_due_s`: seconds that the oldest due job has waited."""

    waiting: int
    running: int
    oldest_due_s: float


def depth_of(engine: str, *, with_periodic: bool = True) -> Depth:
    """Return the depth of an engine's queue."""
    with connection.cursor() as cursor:
        cursor.execute(_DEPTHS[engine], [with_periodic])
        return Depth(*cursor.fetchone())
