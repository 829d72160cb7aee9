"""How deep the queue is, and how old."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connection

from threada_site.kernel.measurements import Measurement


def queue_measurements() -> Iterator[Measurement]:
    """Jobs waiting, jobs running, and the seconds that the oldest job which is due has waited."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*) FILTER (WHERE j.status = 'todo'),
                   count(*) FILTER (WHERE j.status = 'doing'),
                   coalesce(extract(epoch FROM now() - min(coalesce(j.scheduled_at, e.at)) FILTER (
                       WHERE j.status = 'todo' AND coalesce(j.scheduled_at, now()) <= now())), 0)
              FROM procrastinate_jobs j
              LEFT JOIN procrastinate_events e ON e.job_id = j.id AND e.type = 'deferred'
             WHERE j.status IN ('todo', 'doing')
            """
        )
        waiting, running, oldest = cursor.fetchone()
    yield Measurement("threada_jobs_waiting", "Jobs that wait, also those for later.", waiting)
    yield Measurement("threada_jobs_running", "Jobs that workers have taken.", running)
    yield Measurement("threada_jobs_oldest_due_seconds", "How long the oldest due job has waited.", float(oldest))
