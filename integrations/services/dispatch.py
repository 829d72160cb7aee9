"""The seam between an execution and whatever runs it, and the turns that tenants take.

The engine only reminds: `run_execution` (in workitems) claims on the Execution row; a reminder too many is harmless.

A tenant has a bounded number of reminders in the queue (its window); what is beyond stays in its rows and is given a
turn as others end. The more a tenant has there, the later its next one is taken: every tenant's first before anybody's
second, and so on. A tenant's only one goes to a queue that has slots of its own, so it never waits for another
tenant's calls to end.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import connection

from threada_site.jobs.enqueue import EXECUTION_QUEUE, FIRST_QUEUE, enqueue
from threada_site.kernel import clock

RUN_EXECUTION: Final = "workitems.run_execution"

_MARK: Final = """
    WITH there AS (
        SELECT count(*) FILTER (WHERE ready_at <= $2::timestamptz) AS due, count(*) AS whole
          FROM (SELECT ready_at FROM integrations_execution
                 WHERE tenant_id = $1::uuid AND dispatched_at IS NOT NULL AND status IN ('started', 'running')
                 LIMIT $3::int * 3) o)
    UPDATE integrations_execution x SET dispatched_at = $2::timestamptz FROM there
     WHERE x.id = $4::uuid AND x.tenant_id = $1::uuid AND x.status = 'started'
       AND CASE WHEN $5::boolean THEN there.whole < $3::int * 2 ELSE there.due < $3::int END
    RETURNING CASE WHEN $5::boolean THEN there.whole ELSE there.due END
"""
_TURNS: Final = """
    WITH there AS (
        SELECT integration, count(*) AS n FROM integrations_execution
         WHERE tenant_id = $1::uuid AND dispatched_at IS NOT NULL AND status IN ('started', 'running')
           AND ready_at <= $2::timestamptz GROUP BY integration),
    whole AS (SELECT coalesce(sum(n), 0)::int AS n FROM there),
    next AS (
        SELECT e.id FROM integrations_integration i
          LEFT JOIN integrations_integrationgauge g ON g.tenant_id = i.tenant_id AND g.integration_id = i.id
          LEFT JOIN there t ON t.integration = i.slug
         CROSS JOIN LATERAL (
            SELECT w.id, w.ready_at, row_number() OVER (ORDER BY w.ready_at, w.id) AS turn FROM (
                SELECT id, ready_at FROM integrations_execution
                 WHERE tenant_id = i.tenant_id AND integration = i.slug AND status = 'started'
                   AND dispatched_at IS NULL AND held_by_id IS NULL AND ready_at <= $2::timestamptz
                 ORDER BY ready_at, id
                 LIMIT GREATEST(0, LEAST($3::int, g.concurrency - coalesce(t.n, 0), g.rate_calls,
                                         CASE WHEN g.opened_at IS NOT NULL THEN 1 END))) w) e
         WHERE i.tenant_id = $1::uuid AND (g.waits_until IS NULL OR g.waits_until <= $2::timestamptz)
         ORDER BY e.turn, e.ready_at
         LIMIT (SELECT GREATEST(0, $3::int - n) FROM whole)),
    free AS (
        SELECT x.id FROM integrations_execution x
         WHERE x.id = ANY(ARRAY(SELECT id FROM next)) AND x.status = 'started' AND x.dispatched_at IS NULL
         ORDER BY x.ready_at, x.id FOR UPDATE SKIP LOCKED)
    UPDATE integrations_execution x SET dispatched_at = $2::timestamptz FROM free, whole
     WHERE x.id = free.id
    RETURNING x.id, whole.n
"""


def dispatch(tenant_id: uuid.UUID, execution_id: uuid.UUID, *, run_at: datetime | None = None) -> None:
    """Have `run_execution` called for a `started` execution, not before `run_at`, as soon as it has its turn; part of
    the transaction."""
    parameters = [tenant_id, clock.now(), settings.THREADA_TENANT_WINDOW, execution_id, run_at is not None]
    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(_MARK, parameters)
        row = cursor.fetchone()
    if row is not None:
        _remind(tenant_id, execution_id, before=row[0], run_at=run_at)


def give_turns(tenant_id: uuid.UUID, *, now: datetime) -> int:
    """Put as many of a tenant's waiting executions into the queue as its window and its integrations allow.

    Rows that somebody else holds are passed over, so it may be called with any locks held.
    """
    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(_TURNS, [tenant_id, now, settings.THREADA_TENANT_WINDOW])
        rows = cursor.fetchall()
    for place, (execution_id, before) in enumerate(rows):
        _remind(tenant_id, execution_id, before=before + place)
    return len(rows)


def remind_again(tenant_id: uuid.UUID, execution_id: uuid.UUID) -> None:
    """Have `run_execution` called for one whose reminder, or whose worker, was lost: ahead of everybody's second."""
    enqueue(RUN_EXECUTION, tenant_id=tenant_id, queue=EXECUTION_QUEUE, priority=1, execution_id=str(execution_id))


def _remind(tenant_id: uuid.UUID, execution_id: uuid.UUID, *, before: int, run_at: datetime | None = None) -> None:
    """`before`: how many of the tenant are in the queue already."""
    enqueue(
        RUN_EXECUTION,
        tenant_id=tenant_id,
        queue=EXECUTION_QUEUE if before else FIRST_QUEUE,
        priority=-before,
        run_at=run_at,
        execution_id=str(execution_id),
    )
