"""Dispatch of executions to the job queue, with fair scheduling between tenants.

A job in the queue only tells a worker to look: `run_execution` (in workitems) acquires a lease on the Execution row, so
a duplicate job is harmless.

A tenant has a bounded number of jobs in the queue (its quota); further executions wait in their rows and are dispatched
as others end. The more jobs a tenant has in the queue, the lower the priority of its next one: the first execution of
every tenant comes before the second of any. The only execution of a tenant goes to a queue with slots of its own, so it
never waits for the calls of other tenants.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import connection

from integrations.models import Execution
from threada_site.database.batched_writes import update_row
from threada_site.jobs.enqueue import EXECUTION_QUEUE, FIRST_QUEUE, enqueue, enqueue_several, withdraw_jobs
from threada_site.kernel import clock

RUN_EXECUTION: Final = "workitems.run_execution"

_IN_QUEUE: Final = """
    SELECT count(*) FROM (
        SELECT 1 FROM integrations_execution
         WHERE tenant_id = $1::uuid AND dispatched_at IS NOT NULL AND status IN ('started', 'running')
           AND ready_at <= $2::timestamptz LIMIT $3::int) o
"""
_DISPATCH: Final = """
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
_DISPATCH_WAITING: Final = """
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
                   AND dispatched_at IS NULL AND blocked_by_freeze_id IS NULL AND ready_at <= $2::timestamptz
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
_FOR_SET: Final = """
    WITH open AS (
        SELECT i.tenant_id, i.slug FROM integrations_integration i
          LEFT JOIN integrations_integrationgauge g ON g.tenant_id = i.tenant_id AND g.integration_id = i.id
         WHERE i.tenant_id = $1::uuid AND g.opened_at IS NULL AND g.waits_until IS NULL AND g.concurrency IS NULL
           AND g.rate_calls IS NULL AND coalesce(g.failures, 0) = 0 AND i.slug <> ALL($5::text[])),
    waiting AS (
        SELECT e.id, e.turn, e.ready_at FROM open i
         CROSS JOIN LATERAL (
            SELECT w.id, w.ready_at, row_number() OVER (ORDER BY w.ready_at, w.id) AS turn FROM (
                SELECT id, ready_at FROM integrations_execution
                 WHERE tenant_id = i.tenant_id AND integration = i.slug AND status = 'started'
                   AND dispatched_at IS NULL AND blocked_by_freeze_id IS NULL AND ready_at <= $2::timestamptz
                   AND blocked_at IS NULL AND worker_deaths = 0 AND failure <> 'worker_lost'
                 ORDER BY ready_at, id LIMIT $3::int) w) e
         ORDER BY e.turn, e.ready_at LIMIT $3::int),
    dispatched AS (
        SELECT x.id, x.ready_at FROM open i
          JOIN integrations_execution x ON x.tenant_id = i.tenant_id AND x.integration = i.slug
         WHERE x.status IN ('started', 'running') AND x.dispatched_at IS NOT NULL AND x.ready_at <= $2::timestamptz
           AND x.status = 'started' AND x.blocked_by_freeze_id IS NULL AND x.blocked_at IS NULL
           AND x.worker_deaths = 0 AND x.failure <> 'worker_lost'
         ORDER BY x.ready_at, x.id LIMIT $3::int)
    SELECT id FROM (
        SELECT id, 0 AS kind, 0 AS turn, ready_at FROM integrations_execution
         WHERE id = $4::uuid AND tenant_id = $1::uuid
           AND (status = 'started'
                OR status = 'running' AND (lease_until <= $2::timestamptz OR waiting_until <= $2::timestamptz))
        UNION ALL SELECT id, 1, turn, ready_at FROM waiting WHERE id <> $4::uuid
        UNION ALL SELECT id, 2, 0, ready_at FROM dispatched WHERE id <> $4::uuid) c
     ORDER BY kind, turn, ready_at
"""


def dispatch(tenant_id: uuid.UUID, execution_id: uuid.UUID, *, run_at: datetime | None = None) -> None:
    """Enqueue `run_execution` for a `started` execution, not before `run_at`, if the tenant's quota allows it.

    Runs in the caller's transaction. An execution beyond the quota waits for `dispatch_waiting`.
    """
    parameters = [tenant_id, clock.now(), settings.THREADA_TENANT_QUOTA, execution_id, run_at is not None]
    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(_DISPATCH, parameters)
        row = cursor.fetchone()
    if row is not None:
        _enqueue_run(tenant_id, execution_id, ahead=row[0], run_at=run_at)


def dispatch_in_batch(execution: Execution) -> None:
    """Like `dispatch`, for an execution that becomes `started` in the caller's block of `batched_writes`."""
    now = clock.now()
    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(_IN_QUEUE, [execution.tenant_id, now, settings.THREADA_TENANT_QUOTA])
        (ahead,) = cursor.fetchone()
    if ahead < settings.THREADA_TENANT_QUOTA:
        execution.dispatched_at = now
        update_row(execution, "dispatched_at")
        _enqueue_run(execution.tenant_id, execution.id, ahead=ahead)


def dispatch_waiting(tenant_id: uuid.UUID, *, now: datetime) -> int:
    """Enqueue as many of a tenant's waiting executions as its quota and its integrations allow. Return how many.

    Skips locked rows, so it may be called with any locks held.
    """
    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(_DISPATCH_WAITING, [tenant_id, now, settings.THREADA_TENANT_QUOTA])
        rows = cursor.fetchall()
    if rows:
        places = [_place(ahead + position) for position, (_, ahead) in enumerate(rows)]
        enqueue_several(RUN_EXECUTION, places, tenant_id=tenant_id, execution_id=[str(row[0]) for row in rows])
    return len(rows)


def candidates_for_set(
    tenant_id: uuid.UUID, execution_id: uuid.UUID, *, most: int, now: datetime, without: Sequence[str] = ()
) -> list[uuid.UUID]:
    """Return up to 2 · `most` executions that may run together with `execution_id`.

    `execution_id` comes first; it is left out if it has ended or another worker has its lease. Those without a job of
    their own come before those that have one; integrations take turns. Integrations with limits, an open breaker or
    failures since their last success, those named by `without`, and executions that were lost with a worker, are left
    out.
    """
    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(_FOR_SET, [tenant_id, now, most, execution_id, list(without)])
        return [candidate for (candidate,) in cursor.fetchall()]


def withdraw_runs(execution_ids: Sequence[uuid.UUID]) -> None:
    """Delete the waiting jobs of executions that were just leased together with another one."""
    withdraw_jobs(RUN_EXECUTION, [str(execution_id) for execution_id in execution_ids])


def re_enqueue(tenant_id: uuid.UUID, execution_id: uuid.UUID) -> None:
    """Enqueue an execution whose job or worker was lost, with priority over every tenant's second execution."""
    enqueue(RUN_EXECUTION, tenant_id=tenant_id, queue=EXECUTION_QUEUE, priority=1, execution_id=str(execution_id))


def _enqueue_run(tenant_id: uuid.UUID, execution_id: uuid.UUID, *, ahead: int, run_at: datetime | None = None) -> None:
    """Enqueue one run. `ahead`: number of the tenant's jobs that are in the queue already."""
    queue, priority = _place(ahead)
    enqueue(
        RUN_EXECUTION,
        tenant_id=tenant_id,
        queue=queue,
        priority=priority,
        run_at=run_at,
        execution_id=str(execution_id),
    )


def _place(ahead: int) -> tuple[str, int]:
    """Return queue and priority of a job with `ahead` jobs of its tenant before it."""
    return (EXECUTION_QUEUE if ahead else FIRST_QUEUE, -ahead)
