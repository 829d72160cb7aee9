"""Claim of a set: several due executions of one tenant are checked and leased in one transaction.

The set takes ordinary executions only: due, free of freezes, to integrations without limits and without failures since
their last success, never lost with a worker, allowed by the policies in force and approved by votes; no undo and no
simulation. Everything else is left to `run_execution`. See docs/adr/0070.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog
from django.db import DatabaseError, connection

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.configuration.parsed_documents import readable_action_of
from integrations.configuration.simulation import check_before_call
from integrations.connectors import OutboundConnector, connector_named
from integrations.executions.dispatch import candidates_for_set, withdraw_runs
from integrations.executions.lease import is_due
from integrations.freezes.block import freeze_before_lease
from integrations.limits.gauges import is_unlimited
from integrations.models import Execution
from integrations.selectors import due_executions_for_update
from policies import selectors as policy_selectors
from threada_site.database.batched_writes import batched_writes, update_row
from threada_site.database.sets.shared_reads import shared_reads
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.tenancy.models import Tenant
from workitems import selectors
from workitems.executions.approval_receipts import read_ahead_approvals
from workitems.executions.missing_approval import missing_approval
from workitems.executions.open_envelope import open_to_run
from workitems.executions.run_execution import check_in_time, context_of, lease_and_record, verdict_before_call
from workitems.executions.running.call_slots import call_slots
from workitems.executions.running.calling import ExecutionPlan, plan_of, receiver_of
from workitems.models import WorkItem

MOST: Final = 32
CLAIMERS: Final = 4
"""Concurrent claims for which there are enough candidates, so that each finds others that are not locked."""

SPLIT_WITHIN_S: Final = 5.0
"""A set that cannot be claimed is split no longer than this, because the database may be unreachable."""

log = structlog.get_logger("threada.executions")


@dataclass(slots=True)
class ClaimedSet:
    """Leased executions, and due ones that are not ordinary.

    `is_named_over`: the execution of the job has ended, or another worker has its lease.
    """

    plans: list[ExecutionPlan] = field(default_factory=list)
    others: list[uuid.UUID] = field(default_factory=list)
    is_named_over: bool = False


def claim_set(
    tenant: Tenant, execution_id: uuid.UUID, *, take: Callable[[int], int], members: list[uuid.UUID]
) -> ClaimedSet:
    """Lease the execution and others of the tenant. Executions that are locked are left out.

    `take` is called with the number of candidates, before rows are locked, and returns how many may be leased.

    `members` is filled with the executions that are looked at, for `claim_in_parts` if this fails.
    """
    now = clock.now()
    with unit_of_work(tenant.id), shared_reads():
        candidates = candidates_for_set(
            tenant.id, execution_id, most=MOST * CLAIMERS, now=now, without=call_slots.full_integrations(tenant.id)
        )
        most = take(len(candidates))
        executions = list[Execution]()
        if most >= min(2, len(candidates)):
            executions = due_executions_for_update(candidates, tenant_id=tenant.id, now=now, most=most)
        members += [execution.id for execution in executions]
        claimed = _lease(tenant, executions, now=now)
        claimed.is_named_over = execution_id not in candidates
    return claimed


def claim_in_parts(tenant: Tenant, members: Sequence[uuid.UUID], *, until: float | None = None) -> ClaimedSet:
    """Claim the halves of a set that could not be claimed, and their halves if that fails too.

    Executions that cannot be claimed alone are among the others.
    """
    until = until or time.monotonic() + SPLIT_WITHIN_S
    half = len(members) // 2
    if not half or time.monotonic() > until:
        return ClaimedSet(others=list(members))
    claimed = ClaimedSet()
    for part in (members[:half], members[half:]):
        try:
            now = clock.now()
            with unit_of_work(tenant.id), shared_reads():
                due = due_executions_for_update(part, tenant_id=tenant.id, now=now, most=len(part))
                found = _lease(tenant, due, now=now)
        except Exception:
            log.warning("set_not_claimed", members=len(part), exc_info=True)
            connection.close()
            found = claim_in_parts(tenant, part, until=until)
        claimed.plans += found.plans
        claimed.others += found.others
    return claimed


def _lease(tenant: Tenant, executions: Sequence[Execution], *, now: datetime) -> ClaimedSet:
    """Check locked executions and lease those that are ordinary."""
    claimed = ClaimedSet()
    if not executions:
        return claimed
    items = selectors.unlocked_items_for_update(
        [execution.work_item_id for execution in executions], tenant_id=tenant.id
    )
    _read_ahead(tenant, executions)
    with batched_writes(as_sets=True):
        for execution in executions:
            item = items.get(execution.work_item_id)
            if item is None:
                continue
            plan = _claimed(tenant, item, execution, now=now)
            if plan is None:
                claimed.others.append(execution.id)
            else:
                claimed.plans.append(plan)
        if len(claimed.plans) > 1:
            withdraw_runs([plan.execution_id for plan in claimed.plans])
    return claimed


def _read_ahead(tenant: Tenant, executions: Sequence[Execution]) -> None:
    selectors.read_ahead_for_runs(executions, tenant_id=tenant.id)
    approved = {each.work_item_id for each in executions if each.permit_id is None and selectors.steps_about(each)}
    read_ahead_approvals(approved, tenant_id=tenant.id)
    policy_selectors.read_decisions_ahead(
        [each.policy_decision_id for each in executions if each.policy_decision_id], tenant_id=tenant.id
    )


def _claimed(tenant: Tenant, item: WorkItem, execution: Execution, *, now: datetime) -> ExecutionPlan | None:
    """Check and lease one execution. Return None if `run_execution` has to look at it."""
    ctx = context_of(tenant, execution)
    try:
        if not _is_ordinary(execution, now=now) or freeze_before_lease(execution) is not None:
            return None
        action = readable_action_of(execution)
        check_in_time(execution, action, now=now)
        if not call_slots.has_room(receiver_of(execution)):
            return None
        envelope_fields, given = open_to_run(item, execution)
        connector = envelope_fields["integration"]["connector"]
        check_before_call(connector)
        if not isinstance(connector_named(connector), OutboundConnector):
            return None
        verdict = verdict_before_call(item, execution, ctx=ctx)
        if str(verdict.outcome) not in ("allow", "require_approval"):
            return None
        if missing_approval(item, execution, verdict, given) is not None:
            return None
    except DatabaseError:
        raise
    except TransportFailure:
        return None
    except Exception:
        log.exception("execution_left_out", execution=execution.public_id)
        return None
    lease = lease_and_record(item, execution, verdict, now=now, ctx=ctx)
    execution.dispatched_at = execution.dispatched_at or now  # counts for the quota, also without a job of its own
    update_row(execution, "dispatched_at")
    return plan_of(tenant, item, execution, envelope_fields, action, lease=lease, ctx=ctx)


def _is_ordinary(execution: Execution, *, now: datetime) -> bool:
    """Return True if an execution is due and nothing about it needs `run_execution`.

    The payload of an execution that was lost with a worker may end the process, and with it every call of the set.
    """
    is_lost = execution.worker_deaths > 0 or execution.failure == FailureClass.WORKER_LOST
    is_special = execution.undoes_id is not None or execution.permit_id is not None or execution.is_simulated
    is_special = is_special or execution.blocked_at is not None
    return is_due(execution, now=now) and not is_lost and not is_special and is_unlimited(execution)
