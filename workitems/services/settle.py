"""Settling an attempt: execution, attempt and work item move together, in one transaction."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any, Final

from integrations import selectors as systems
from integrations.documents import ActionDocument
from integrations.failures import FailureClass
from integrations.lifecycle import ExecutionStatus
from integrations.models import Attempt, Execution
from integrations.outcomes import Outcome
from integrations.retry import Retry, next_try
from integrations.services.claim import Claim
from integrations.services.dispatch import dispatch
from integrations.services.gauges import note_outcome
from policies.approvals import REVIEW_DEFAULT, from_json
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Membership, User
from threada_site.tenancy.writes import update_row
from workitems.lifecycle import WORK_ITEM, StepKind, WorkItemStatus
from workitems.models import WorkItem
from workitems.services.moves import carry_item, move_execution
from workitems.services.receipts import record_item
from workitems.services.steps import open_step

_rng: Final = random.SystemRandom()


def settle(
    item: WorkItem,
    execution: Execution,
    action: ActionDocument,
    request: dict[str, Any],
    outcome: Outcome | None,
    *,
    held: Claim,
    ctx: ActingContext,
) -> None:
    """Record what came of an attempt on locked rows. `outcome` None: an act upon the item itself, done here and now."""
    if outcome is None:
        outcome = _act(item, request, ctx=ctx)
    now = clock.now()
    is_first_try = execution.attempts_made <= execution.attempts_before + 1
    ambiguous_before = not is_first_try and systems.may_have_acted(execution)
    attempt = Attempt(
        id=held.attempt_id,
        tenant_id=execution.tenant_id,
        execution=execution,
        finished_at=now,
        outcome="succeeded" if outcome.succeeded else "failed",
        failure=outcome.failure or "",
        ambiguous=outcome.ambiguous,
        response=outcome.response,
    )
    update_row(attempt, "finished_at", "outcome", "failure", "ambiguous", "response")
    note_outcome(execution, outcome.failure, held=held, now=now, ctx=ctx)
    execution.failure = outcome.failure or ""
    execution.failure_detail = outcome.detail
    execution.result = outcome.response
    if outcome.succeeded and action.waits_for_callback_s is not None:
        execution.waiting_until = now + timedelta(seconds=action.waits_for_callback_s)
        execution.lease_until = None
        execution.save(update_fields=["waiting_until", "lease_until", "failure", "failure_detail", "result"])
        _record("execution.accepted", item, execution, ctx=ctx)
        return
    if outcome.succeeded:
        _succeed(item, execution, action, request, ctx=ctx)
        return
    assert outcome.failure is not None  # noqa: S101  (an outcome that did not succeed has a failure)
    ambiguous = outcome.ambiguous or ambiguous_before
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
    if isinstance(following, Retry):
        execution.next_try_at = now + timedelta(seconds=following.after_s)
        execution.lease_until = execution.dispatched_at = None
        move_execution(
            execution,
            ExecutionStatus.STARTED,
            "next_try_at",
            "lease_until",
            "dispatched_at",
            "failure",
            "failure_detail",
            "result",
        )
        dispatch(execution.tenant_id, execution.id, run_at=execution.next_try_at)
        _record("execution.postponed", item, execution, ctx=ctx)
        return
    move_execution(execution, ExecutionStatus(following.status), "failure", "failure_detail", "result")
    if execution.status == ExecutionStatus.FAILED and WORK_ITEM.allows(
        WorkItemStatus(item.status), WorkItemStatus.FAILED
    ):
        carry_item(item, execution, WorkItemStatus.FAILED)
    _record(f"execution.{execution.status}", item, execution, ctx=ctx)


def settle_answered(
    item: WorkItem, execution: Execution, action: ActionDocument, outcome: Outcome, *, ctx: ActingContext
) -> None:
    """End a locked execution that waits for its callback, with what the receiver says; `ambiguous`: it said nothing."""
    execution.waiting_until = None
    execution.failure = outcome.failure or ""
    execution.failure_detail = outcome.detail
    if outcome.response is not None:
        execution.result = outcome.response
    execution.save(update_fields=["waiting_until"])
    if outcome.succeeded:
        _succeed(item, execution, action, {}, ctx=ctx)
        return
    status = ExecutionStatus.OUTCOME_UNKNOWN if outcome.ambiguous else ExecutionStatus.FAILED
    move_execution(execution, status, "failure", "failure_detail", "result")
    if status is ExecutionStatus.FAILED:
        carry_item(item, execution, WorkItemStatus.FAILED)
    _record(f"execution.{status}", item, execution, ctx=ctx)


def _succeed(
    item: WorkItem, execution: Execution, action: ActionDocument, request: dict[str, Any], *, ctx: ActingContext
) -> None:
    move_execution(execution, ExecutionStatus.SUCCEEDED, "failure", "failure_detail", "result")
    if request.get("operation") == "request_approval":
        carry_item(item, execution, WorkItemStatus.AWAITING_APPROVAL)
    else:
        carry_item(item, execution, WorkItemStatus.RESOLVED if action.resolves else WorkItemStatus.READY)
    _record("execution.succeeded", item, execution, ctx=ctx)
    if request.get("operation") == "request_approval":
        open_step(
            item,
            kind=StepKind.APPROVAL,
            rule=from_json(request["approvals"]) if "approvals" in request else REVIEW_DEFAULT,
            decision=None,
            ctx=ctx,
            asked_by=execution.requested_by,
            question=request.get("question", ""),
        )


def _act(item: WorkItem, request: dict[str, Any], *, ctx: ActingContext) -> Outcome:
    """An act of the workflow connector. What it cannot do fails the execution; nothing else has changed then."""
    if request["operation"] != "assign":
        return Outcome(response={"operation": request["operation"]})
    person = User.objects.filter(
        username=request["to"], id__in=Membership.objects.filter(tenant_id=ctx.tenant_id).values("user_id")
    ).first()
    if person is None:
        return Outcome(
            failure=FailureClass.REJECTED_BY_RECEIVER,
            detail=f"There is no principal {str(request['to'])[:63]!r} to assign to.",
        )
    item.assignee = person
    item.save(update_fields=["assignee"])
    return Outcome(response={"operation": "assign", "to": person.username})


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
            **({"failure": execution.failure} if execution.failure else {}),
        },
        reason_codes=(execution.failure,) if execution.failure else (),
    )
