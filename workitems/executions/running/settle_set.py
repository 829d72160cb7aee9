"""Settlement of a set: outcomes that arrive within a few milliseconds are recorded in one transaction.

A set contains successes only. Failures are settled one by one, because they concern circuit breakers and retries. A set
that cannot be settled is split, until the execution that fails is alone. Splitting repeats no call.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from django.db import connection
from structlog.contextvars import bound_contextvars

from integrations import selectors as integration_selectors
from integrations.attempts.outcomes import Outcome
from integrations.executions.dispatch import dispatch_waiting
from integrations.models import Execution
from threada_site.database.batched_writes import batched_writes
from threada_site.database.sets.shared_reads import shared_reads
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import Tenant
from workitems import selectors
from workitems.executions.run_execution import context_of, has_lease, settle_outcome
from workitems.executions.running.calling import ExecutionPlan
from workitems.executions.settle_attempt import settle
from workitems.models import WorkItem

WINDOW_S: Final = 0.005
"""Longest time between two outcomes that are recorded together."""
LONGEST_WINDOW_S: Final = 0.025
"""Longest time that the first of them waits."""

log = structlog.get_logger("threada.executions")


@dataclass(frozen=True, slots=True)
class Arrived:
    """Outcome of the call of a plan."""

    plan: ExecutionPlan
    outcome: Outcome | None


def settle_single(tenant: Tenant, arrived: Arrived) -> str:
    """Record one outcome and return the status. If that fails, the attempt ends as `worker_lost` with its lease."""
    try:
        status = settle_outcome(tenant, arrived.plan, arrived.outcome)
    except Exception:
        log.exception("outcome_not_recorded", execution=str(arrived.plan.execution_id))
        if not connection.in_atomic_block:
            connection.close()
        return "not_recorded"
    log.info("execution_ran", status=status, target=arrived.plan.target)
    return status


def settle_set(tenant: Tenant, arrived: Sequence[Arrived]) -> list[Arrived]:
    """Record successes together. Return those whose rows are locked, to be settled later."""
    try:
        locked = _settle(tenant, arrived)
    except Exception:
        log.warning("set_split", count=len(arrived), exc_info=True)
        if not connection.in_atomic_block:
            connection.close()
        if len(arrived) == 1:
            settle_single(tenant, arrived[0])
            return []
        half = len(arrived) // 2
        return [*settle_set(tenant, arrived[:half]), *settle_set(tenant, arrived[half:])]
    return locked


def _settle(tenant: Tenant, arrived: Sequence[Arrived]) -> list[Arrived]:
    locked: list[Arrived] = []
    settled: list[tuple[Arrived, str]] = []
    with unit_of_work(tenant.id), shared_reads():
        found = _unlocked(tenant, [each.plan.execution_id for each in arrived])
        with batched_writes(as_sets=True):
            for each in sorted(arrived, key=lambda one: one.plan.execution_id):
                if each.plan.execution_id not in found:
                    locked.append(each)
                    continue
                item, execution = found[each.plan.execution_id]
                if not has_lease(execution, each.plan.lease):
                    log.warning("late_outcome_ignored", execution=execution.public_id)
                    continue
                settle(
                    item,
                    execution,
                    each.plan.action,
                    each.plan.request,
                    each.outcome,
                    lease=each.plan.lease,
                    ctx=context_of(tenant, execution),
                )
                settled.append((each, execution.status))
        dispatch_waiting(tenant.id, now=clock.now())
    for each, status in settled:
        _log_as_run(tenant, each.plan, status)
    return locked


def _log_as_run(tenant: Tenant, plan: ExecutionPlan, status: str) -> None:
    public_id = ids.public_id(ids.EXECUTION, plan.execution_id)
    with bound_contextvars(tenant=tenant.slug, execution=public_id, correlation_id=plan.correlation_id):
        log.info("execution_ran", status=status, target=plan.target)


def _unlocked(tenant: Tenant, execution_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, tuple[WorkItem, Execution]]:
    executions = integration_selectors.unlocked_executions_for_update(execution_ids, tenant_id=tenant.id)
    items = selectors.unlocked_items_for_update([each.work_item_id for each in executions], tenant_id=tenant.id)
    return {each.id: (items[each.work_item_id], each) for each in executions if each.work_item_id in items}
