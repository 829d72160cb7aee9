"""Re-evaluation of pending steps after a change of their policy versions or of their integration.

The policies in force decide again, and a new envelope is built.
"""

from __future__ import annotations

from typing import Final

from integrations import selectors as integration_selectors
from integrations.attempts.failures import FailureClass
from integrations.executions.dispatch import dispatch
from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from policies.deciding.decide import decide
from policies.language.approvals import ApprovalRule
from policies.models import PolicyDecision
from threada_site.database.batched_writes import insert_rows
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from workitems.executions.build_envelope import build_action_envelope, configured_now
from workitems.executions.request_action import asked_of
from workitems.executions.undo import check_same_reality, undone_execution
from workitems.items.actors import actor_of
from workitems.items.receipts import record_item
from workitems.items.transitions import transition_execution, transition_item, transition_unless_undo
from workitems.lifecycle import StepKind, StepStatus, WorkItemStatus
from workitems.models import DecisionStep, WorkItem
from workitems.steps.opening_and_closing import close_step, new_envelope, open_step
from workitems.steps.policy.decision import (
    approval_rule,
    decision_request,
    record_decision,
    take_intake_decision,
)

_RE_EVALUATED_FIELDS: Final = (
    "envelope",
    "integration_version",
    "is_simulated",
    "policy_decision_id",
    "policy_version_id",
)


def re_evaluate_step(item: WorkItem, step: DecisionStep, *, ctx: ActingContext) -> None:
    """Supersede a locked, pending step and evaluate the policies in force again.

    Without an execution, intake is repeated. With an execution: if denied, it fails (`policy_denied`) and the item
    becomes ready; if an approval is required, a step over a new envelope opens; if allowed, it is dispatched. If the
    envelope can no longer be built, it fails (`envelope_mismatch`).
    """
    if step.status != StepStatus.PENDING:
        return
    execution = (
        integration_selectors.execution_for_update(step.execution_id, tenant_id=step.tenant_id)
        if step.execution_id
        else None
    )
    close_step(step, StepStatus.SUPERSEDED, item=item, ctx=ctx, execution=execution)
    if execution is None:
        transition_item(item, WorkItemStatus.NEW)
        take_intake_decision(item, ctx=ctx)
        return
    _decide_execution(item, execution, ctx=ctx)


def _decide_execution(item: WorkItem, execution: Execution, *, ctx: ActingContext) -> None:
    decision = re_evaluate(item, execution, ctx=ctx)
    if decision.outcome not in ("allow", "require_approval"):
        detail = f"The policies in force refuse it now: {', '.join(decision.reason_codes)}."
        _fail(item, execution, decision, FailureClass.POLICY_DENIED, detail, ctx=ctx)
        return
    try:
        rebuild_envelope(item, execution, decision, ctx=ctx)
    except errors.ThreadaError as error:
        detail = f"The envelope can no longer be built: {error.detail}"
        _fail(item, execution, decision, FailureClass.ENVELOPE_MISMATCH, detail, ctx=ctx)
        return
    if decision.outcome == "require_approval":
        await_approval(item, execution, decision, approval_rule(decision), ctx=ctx)
        return
    transition_execution(execution, ExecutionStatus.STARTED, *_RE_EVALUATED_FIELDS)
    transition_unless_undo(item, execution, WorkItemStatus.EXECUTING, "policy_version_id")
    record_decision(item, decision, ctx=ctx, execution=execution)
    dispatch(execution.tenant_id, execution.id)


def re_evaluate(item: WorkItem, execution: Execution, *, ctx: ActingContext) -> PolicyDecision:
    """Return the decision of the policies in force about an execution, for the principal who requested it.

    Saves only the decision, not the execution.
    """
    actor = actor_of(execution)
    decision = decide(decision_request(item, actor=actor, asked=asked_of(execution)), ctx=ctx)
    execution.policy_decision_id = decision.id
    execution.policy_version_id = item.policy_version_id = decision.policy_version_id
    return decision


def rebuild_envelope(item: WorkItem, execution: Execution, decision: PolicyDecision, *, ctx: ActingContext) -> None:
    """Build a new envelope for an execution from the current integration, input and item.

    Raises the errors of `configured_now` and `build_action_envelope`, and `ExecutionNotUndoable`.
    """
    actor = actor_of(execution)
    configured = configured_now(item, execution, ctx=ctx)
    check_same_reality(undone_execution(execution), is_simulated=configured.is_simulated)
    execution.integration_version = configured.version
    execution.is_simulated = configured.is_simulated
    built = build_action_envelope(item, execution, decision, configured, actor=actor)
    execution.envelope = new_envelope(item, built)
    insert_rows(execution.envelope)


def await_approval(
    item: WorkItem, execution: Execution, decision: PolicyDecision, rule: ApprovalRule, *, ctx: ActingContext
) -> DecisionStep:
    """Save a re-evaluated execution and open the approval step that `rule` requires."""
    execution.save(update_fields=_RE_EVALUATED_FIELDS)
    item.save(update_fields=["policy_version_id"])
    record_decision(item, decision, ctx=ctx, execution=execution)
    return open_step(
        item,
        kind=StepKind.APPROVAL,
        rule=rule,
        decision=decision,
        ctx=ctx,
        execution=execution,
        envelope=execution.envelope,
        asked_by=execution.requested_by,
    )


def _fail(
    item: WorkItem,
    execution: Execution,
    decision: PolicyDecision,
    failure: FailureClass,
    detail: str,
    *,
    ctx: ActingContext,
) -> None:
    execution.failure = failure
    execution.failure_detail = detail
    transition_execution(
        execution, ExecutionStatus.FAILED, "failure", "failure_detail", "policy_decision_id", "policy_version_id"
    )
    transition_unless_undo(item, execution, WorkItemStatus.READY, "policy_version_id")
    record_decision(item, decision, ctx=ctx, execution=execution)
    record_item(
        "execution.failed",
        item,
        ctx=ctx,
        execution=execution,
        outcome={"status": execution.status, "work_item_status": item.status, "failure": execution.failure},
        reason_codes=(execution.failure,),
    )
