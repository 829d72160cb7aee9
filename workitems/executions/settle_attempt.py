"""Settlement of an attempt: execution, attempt and work item change together, in one transaction."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any, Final

from integrations import selectors as integration_selectors
from integrations.attempts.failures import FailureClass
from integrations.attempts.outcomes import Outcome
from integrations.attempts.retry import Retry, next_try
from integrations.documents import ActionDocument
from integrations.executions.dispatch import dispatch
from integrations.executions.lease import Lease
from integrations.executions.simulated_callback import enqueue_simulated_callback
from integrations.lifecycle import ExecutionStatus
from integrations.limits.gauges import note_outcome
from integrations.models import Attempt, Execution
from policies.language.approvals import REVIEW_DEFAULT, from_json
from threada_site.database.batched_writes import batched_writes, update_row
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Membership, User
from workitems.executions.undo_due import note_undo
from workitems.items.receipts import record_item
from workitems.items.transitions import transition_execution, transition_unless_undo
from workitems.lifecycle import WORK_ITEM, StepKind, WorkItemStatus
from workitems.models import WorkItem
from workitems.permits.units import return_unit, return_unused_unit
from workitems.search.changes import note_change
from workitems.steps.opening_and_closing import open_step

_rng: Final = random.SystemRandom()
_OUTCOME_FIELDS: Final = ("failure", "failure_detail", "result", "is_repeatable")


def settle(
    item: WorkItem,
    execution: Execution,
    action: ActionDocument,
    request: dict[str, Any],
    outcome: Outcome | None,
    *,
    lease: Lease,
    ctx: ActingContext,
) -> None:
    """Record the outcome of an attempt on locked rows.

    `outcome` None: the action concerns the item itself and is performed in this call.
    """
    if outcome is None:
        outcome = _perform_item_action(item, request, ctx=ctx)
    now = clock.now()
    is_first_try = execution.attempts_made <= execution.attempts_before + 1
    ambiguous_before = not is_first_try and integration_selectors.may_have_acted(execution)
    attempt = Attempt(
        id=lease.attempt_id,
        tenant_id=execution.tenant_id,
        execution=execution,
        finished_at=now,
        outcome="succeeded" if outcome.succeeded else "failed",
        failure=outcome.failure or "",
        ambiguous=outcome.ambiguous,
        response=outcome.response,
    )
    note_outcome(execution, outcome.failure, lease=lease, now=now, ctx=ctx)
    execution.failure = outcome.failure or ""
    execution.failure_detail = outcome.detail
    execution.result = outcome.response
    _note_ambiguity(execution, action, outcome)
    with batched_writes():
        update_row(attempt, "finished_at", "outcome", "failure", "ambiguous", "response")
        if outcome.succeeded and action.waits_for_callback_s is not None:
            _await_callback(item, execution, within_s=action.waits_for_callback_s, now=now, ctx=ctx)
            enqueue_simulated_callback(execution, request, now=now)
        elif outcome.succeeded:
            _succeed(item, execution, action, request, ctx=ctx)
        else:
            ambiguous = outcome.ambiguous or ambiguous_before
            _fail(item, execution, action, outcome, ambiguous=ambiguous, now=now, ctx=ctx)
    if execution.status == ExecutionStatus.STARTED:
        dispatch(execution.tenant_id, execution.id, run_at=execution.next_try_at)
    elif outcome.succeeded and request.get("operation") == "request_approval":
        _open_step_asked_for(item, execution, request, ctx=ctx)


def settle_answered(
    item: WorkItem, execution: Execution, action: ActionDocument, outcome: Outcome, *, ctx: ActingContext
) -> None:
    """End a locked execution that waits for its callback, with the outcome that the receiver reported.

    An ambiguous outcome means that no callback arrived in time.
    """
    execution.waiting_until = None
    execution.failure = outcome.failure or ""
    execution.failure_detail = outcome.detail
    if outcome.response is not None:
        execution.result = outcome.response
    _note_ambiguity(execution, action, outcome)
    execution.save(update_fields=["waiting_until"])
    with batched_writes():
        if outcome.succeeded:
            _succeed(item, execution, action, {}, ctx=ctx)
        else:
            ended = ExecutionStatus.OUTCOME_UNKNOWN if outcome.ambiguous else ExecutionStatus.FAILED
            _end_badly(item, execution, ended, ctx=ctx)
            if ended is ExecutionStatus.FAILED:
                return_unit(item, execution, ctx=ctx)


def _note_ambiguity(execution: Execution, action: ActionDocument, outcome: Outcome) -> None:
    """Mark the execution as not repeatable if the receiver may have acted and does not deduplicate."""
    if outcome.ambiguous and not action.idempotent:
        execution.is_repeatable = False


def _await_callback(
    item: WorkItem, execution: Execution, *, within_s: float, now: datetime, ctx: ActingContext
) -> None:
    execution.waiting_until = now + timedelta(seconds=within_s)
    execution.lease_until = None
    update_row(execution, "waiting_until", "lease_until", "failure", "failure_detail", "result")
    _record("execution.accepted", item, execution, ctx=ctx)


def _succeed(
    item: WorkItem, execution: Execution, action: ActionDocument, request: dict[str, Any], *, ctx: ActingContext
) -> None:
    transition_execution(execution, ExecutionStatus.SUCCEEDED, "failure", "failure_detail", "result")
    note_undo(item, execution, action, ctx=ctx)
    if request.get("operation") == "request_approval":
        transition_unless_undo(item, execution, WorkItemStatus.AWAITING_APPROVAL)
    else:
        transition_unless_undo(item, execution, WorkItemStatus.RESOLVED if action.resolves else WorkItemStatus.READY)
    _record("execution.succeeded", item, execution, ctx=ctx)


def _fail(
    item: WorkItem,
    execution: Execution,
    action: ActionDocument,
    outcome: Outcome,
    *,
    ambiguous: bool,
    now: datetime,
    ctx: ActingContext,
) -> None:
    """Schedule another attempt if the retry policy allows it; otherwise end the execution."""
    assert outcome.failure is not None  # noqa: S101  (a failed outcome has a failure class)
    following = next_try(
        outcome.failure,
        ambiguous=ambiguous,
        attempts=execution.attempts_made - execution.attempts_before - execution.worker_deaths,
        policy=action.retry,
        idempotent=action.idempotent,
        retry_after_s=outcome.retry_after_s,
        worker_deaths=execution.worker_deaths,
        elapsed_s=(now - (execution.tries_began_at or now)).total_seconds(),
        rng=_rng,
    )
    if not isinstance(following, Retry):
        _end_badly(item, execution, ExecutionStatus(following.status), ctx=ctx)
        if following.status is ExecutionStatus.FAILED and not ambiguous:
            return_unused_unit(item, execution, ctx=ctx)
        return
    execution.next_try_at = now + timedelta(seconds=following.after_s)
    execution.lease_until = execution.dispatched_at = None
    when = ("next_try_at", "lease_until", "dispatched_at")
    transition_execution(execution, ExecutionStatus.STARTED, *when, *_OUTCOME_FIELDS)
    _record("execution.postponed", item, execution, ctx=ctx)


def _end_badly(item: WorkItem, execution: Execution, status: ExecutionStatus, *, ctx: ActingContext) -> None:
    transition_execution(execution, status, *_OUTCOME_FIELDS)
    if status is ExecutionStatus.FAILED and WORK_ITEM.allows(WorkItemStatus(item.status), WorkItemStatus.FAILED):
        transition_unless_undo(item, execution, WorkItemStatus.FAILED)
    _record(f"execution.{status}", item, execution, ctx=ctx)


def _open_step_asked_for(item: WorkItem, execution: Execution, request: dict[str, Any], *, ctx: ActingContext) -> None:
    open_step(
        item,
        kind=StepKind.APPROVAL,
        rule=from_json(request["approvals"]) if "approvals" in request else REVIEW_DEFAULT,
        decision=None,
        ctx=ctx,
        asked_by=execution.requested_by,
        question=request.get("question", ""),
    )


def _perform_item_action(item: WorkItem, request: dict[str, Any], *, ctx: ActingContext) -> Outcome:
    """Perform an action of the workflow connector and return its outcome.

    A failed outcome means that nothing was changed.
    """
    if request["operation"] != "assign":
        return Outcome(response={"operation": request["operation"]})
    members = Membership.objects.filter(tenant_id=ctx.tenant_id, accepted_at__isnull=False)
    assignee = User.objects.filter(username=request["to"], id__in=members.values("user_id")).first()
    if assignee is None:
        return Outcome(
            failure=FailureClass.REJECTED_BY_RECEIVER,
            detail=f"There is no principal {str(request['to'])[:63]!r} to assign to.",
        )
    item.assignee = assignee
    item.save(update_fields=["assignee"])
    note_change(item.id, tenant_id=item.tenant_id)
    return Outcome(response={"operation": "assign", "to": assignee.username})


def _record(kind: str, item: WorkItem, execution: Execution, *, ctx: ActingContext) -> None:
    record_item(
        kind,
        item,
        ctx=ctx,
        execution=execution,
        inputs={"attempt": execution.attempts_made},
        outcome={
            "status": execution.status,
            "work_item_status": item.status,
            **({"undoes": ids.public_id(ids.EXECUTION, execution.undoes_id)} if execution.undoes_id else {}),
            **({"failure": execution.failure} if execution.failure else {}),
        },
        reason_codes=(execution.failure,) if execution.failure else (),
    )
