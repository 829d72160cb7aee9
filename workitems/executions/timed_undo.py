"""Undo that Threada starts by itself, when the time declared by `undo_after` has come.

Policies decide about it as about every other action, for the actor kind `system`. The effect stays in force until the
undo has succeeded, so a denial, a freeze, a failure and a missing approval are alarms: a receipt
`execution.undo_overdue`, a notice, and the problem on the execution. The sweep asks again every hour.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Final

import structlog

from integrations import selectors as integration_selectors
from integrations.freezes.block import freeze_on, freezes_in_force, place_of_execution
from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.context import job_context
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Tenant
from workitems import selectors
from workitems.executions.build_envelope import configured_action
from workitems.executions.request_action import ActionRequest, execute_configured
from workitems.executions.undo import undo_of, undoing_of
from workitems.items.receipts import record_item
from workitems.models import WorkItem
from workitems.notices.enqueue import overdue_notice

START_UNDO: Final = "workitems.start_undo"
"""Name of the task that starts a due undo; its argument is `execution_id`."""
ASK_AGAIN: Final = timedelta(hours=1)
LOOK_AT_RESULT: Final = timedelta(minutes=5)
"""Time after which the result of a started undo is looked at first."""
FROZEN: Final = "undo_blocked_by_freeze"

log = structlog.get_logger("threada.executions")


def start_due_undo(tenant: Tenant, execution_id: uuid.UUID) -> None:
    """Start the undo of an execution if it is due, or note why it has not ended. Do nothing if it is not due."""
    ctx = job_context(tenant)
    try:
        with unit_of_work(tenant.id):
            found = _due(tenant, execution_id)
            if found is not None:
                _note(*found, _start(*found, ctx=ctx), ctx=ctx)
    except errors.ThreadaError as refusal:
        with unit_of_work(tenant.id):
            found = _due(tenant, execution_id)
            if found is not None:
                _note(*found, refusal.reason_code, ctx=ctx)


def _due(tenant: Tenant, execution_id: uuid.UUID) -> tuple[WorkItem, Execution] | None:
    """Return the locked execution and its item if the sweep has to look at the undo now."""
    item = selectors.work_item_of_execution_for_update(execution_id, tenant_id=tenant.id)
    execution = integration_selectors.execution_for_update(execution_id, tenant_id=tenant.id)
    if item is None or execution is None or execution.undo_next_try_at is None:
        return None
    return (item, execution) if execution.undo_next_try_at <= clock.now() else None


def _start(item: WorkItem, execution: Execution, *, ctx: ActingContext) -> str:
    """Start the undo unless it is open. Return the reason code of what keeps it from ending, or an empty text."""
    undoing = undoing_of(execution)
    if undoing is not None:
        return _problem_of(undoing) or errors.ExecutionInProgress.reason_code
    failed = "" if execution.undo_problem else _failure_of_last(execution)
    if failed:
        return failed
    undo = undo_of(execution)
    if undo is None:
        return errors.ExecutionNotUndoable.reason_code
    integration = integration_selectors.integration_by_slug(execution.integration, ctx=ctx)
    configured = configured_action(item, integration, named=execution.integration, action=undo, ctx=ctx)
    request = ActionRequest(
        integration=execution.integration, action=undo, undoes=execution.id, requester=execution.requested_by
    )
    try:
        return _problem_of(execute_configured(item, request, configured, ctx=ctx).execution)
    except errors.PolicyDenied as denial:  # its decision is stored
        return denial.reason_code


def _failure_of_last(execution: Execution) -> str:
    """Return the reason code of the last undo that Threada started and that ended without success, or an empty text."""
    undos = Execution.objects.filter(tenant_id=execution.tenant_id, undoes_id=execution.id, is_timed_undo=True)
    last = undos.order_by("-id").first()
    return "" if last is None else last.failure or "approval_missing"


def _problem_of(undoing: Execution) -> str:
    """Return the reason code of what keeps an open undo from ending, or an empty text."""
    if undoing.status == ExecutionStatus.AWAITING_APPROVAL:
        return errors.ApprovalPending.reason_code
    place = place_of_execution(undoing)
    if undoing.status == ExecutionStatus.STARTED and freeze_on(freezes_in_force(undoing.tenant_id), place):
        return FROZEN
    return undoing.failure


def _note(item: WorkItem, execution: Execution, problem: str, *, ctx: ActingContext) -> None:
    """Store when the sweep looks at the undo again, and the problem. A new problem has a receipt and a notice."""
    is_new = problem not in ("", execution.undo_problem)
    now = clock.now()
    execution.undo_next_try_at = now + (ASK_AGAIN if problem or execution.undo_problem else LOOK_AT_RESULT)
    execution.undo_problem = problem or execution.undo_problem
    execution.save(update_fields=["undo_next_try_at", "undo_problem"])
    if not is_new or execution.undo_due_at is None:
        return
    log.warning("undo_overdue", execution=execution.public_id, reason=problem)
    record_item(
        "execution.undo_overdue",
        item,
        ctx=ctx,
        execution=execution,
        outcome={"status": execution.status, "undo_due_at": clock.rfc3339(execution.undo_due_at)},
        reason_codes=(problem,),
    )
    overdue_notice(
        item,
        ctx,
        occurrence=f"{execution.public_id}:{now:%Y%m%d%H%M%S}",
        execution_id=execution.public_id,
        action=execution.action,
        integration=execution.integration,
    )
