"""Sweeps over all tenants: they enqueue jobs, and the jobs check again under their own locks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import connection
from django.db.models import Q

from integrations.executions.dispatch import RUN_EXECUTION, dispatch_waiting, re_enqueue
from integrations.freezes.block import release_lifted
from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.engines.choice import other_engine
from threada_site.jobs.enqueue import (
    MAINTENANCE_QUEUE,
    adopt_jobs,
    enqueue,
    forget_finished_jobs,
    live_jobs,
    revive_jobs,
)
from workitems.executions.timed_undo import START_UNDO
from workitems.lifecycle import WorkItemStatus
from workitems.models import WorkItem

BATCH: Final = 500
INTAKE_OVERDUE: Final = timedelta(seconds=30)

log = structlog.get_logger("threada.worker")


def dispatch_all_waiting(*, now: datetime) -> int:
    """Release executions of lifted freezes, and enqueue waiting executions of each tenant up to its quota.

    Return how many were enqueued.
    """
    with platform_role():
        release_lifted()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT t.id FROM tenancy_tenant t WHERE EXISTS (SELECT FROM integrations_execution e "
                "WHERE e.tenant_id = t.id AND e.status = 'started' AND e.dispatched_at IS NULL "
                "AND e.blocked_by_freeze_id IS NULL AND e.ready_at <= %s)",
                [now],
            )
            waiting = [tenant_id for (tenant_id,) in cursor.fetchall()]
    given = 0
    for tenant_id in waiting:
        with unit_of_work(tenant_id):
            given += dispatch_waiting(tenant_id, now=now)
    return given


def enqueue_due_executions(*, now: datetime) -> int:
    """Enqueue runs again for dispatched executions without a live job, and for those whose worker died.

    Return how many.
    """
    lost = Q(status=ExecutionStatus.STARTED, dispatched_at__isnull=False, ready_at__lte=now)
    abandoned = Q(status=ExecutionStatus.RUNNING, lease_until__lte=now)
    abandoned |= Q(status=ExecutionStatus.RUNNING, waiting_until__lte=now)
    with platform_role():
        due = list(Execution.objects.filter(lost | abandoned).values_list("tenant_id", "id", "status")[:BATCH])
        live = live_jobs(RUN_EXECUTION, "execution_id", [str(execution_id) for _, execution_id, _ in due])
        for tenant_id, execution_id, status in due:
            if str(execution_id) not in live or status == ExecutionStatus.RUNNING:
                re_enqueue(tenant_id, execution_id)
    return len(due)


def enqueue_due_undos(*, now: datetime) -> int:
    """Enqueue the start of undos that are due and have no live job. Return how many are due."""
    with platform_role():
        rows = Execution.objects.filter(undo_next_try_at__lte=now).order_by("undo_next_try_at")
        due = list(rows.values_list("tenant_id", "id")[:BATCH])
        live = live_jobs(START_UNDO, "execution_id", [str(execution_id) for _, execution_id in due])
        for tenant_id, execution_id in due:
            if str(execution_id) not in live:
                enqueue(START_UNDO, tenant_id=tenant_id, queue=MAINTENANCE_QUEUE, execution_id=str(execution_id))
    return len(due)


def enqueue_overdue_intake(*, now: datetime) -> int:
    """Enqueue the intake decision of items that have been `new` for half a minute and have no live job."""
    with platform_role():
        due = list(
            WorkItem.objects.filter(status=WorkItemStatus.NEW, updated_at__lte=now - INTAKE_OVERDUE).values_list(
                "tenant_id", "id", "correlation_id"
            )[:BATCH]
        )
        live = live_jobs("workitems.decide_intake", "work_item_id", [str(item_id) for _, item_id, _ in due])
        for tenant_id, item_id, correlation_id in due:
            if str(item_id) not in live:
                enqueue(
                    "workitems.decide_intake",
                    tenant_id=tenant_id,
                    queue=MAINTENANCE_QUEUE,
                    work_item_id=str(item_id),
                    correlation_id=correlation_id,
                )
    return len(due)


def revive_re_evaluations() -> None:
    """Return re-evaluation jobs of dead workers to the queue. No row records that they are due."""
    with platform_role():
        revive_jobs("workitems.re_evaluate_for_policies", "workitems.re_evaluate_for_integrations")


def adopt_jobs_of_another_engine() -> None:
    """Move jobs that wait in the previous engine to the current one, after THREADA_ENGINE was changed."""
    with platform_role():
        adopted = adopt_jobs()
    if adopted:
        log.warning("jobs_adopted", count=adopted, engine=other_engine())


def delete_finished_jobs() -> None:
    """Delete finished jobs. Without this, deleting the row of a dead worker becomes slow."""
    with platform_role():
        forget_finished_jobs()
