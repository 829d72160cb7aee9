"""Deciding open cases anew, when a policy version that asked for their steps was retired or replaced for them too."""

from __future__ import annotations

from integrations import selectors as systems
from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from integrations.services.dispatch import dispatch
from policies.services.decide import decide
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from workitems.lifecycle import StepKind, StepStatus, WorkItemStatus
from workitems.models import DecisionStep, WorkItem
from workitems.services.decisions import (
    approval_rule,
    decision_request,
    record_decision,
    take_intake_decision,
)
from workitems.services.execute import asked_of
from workitems.services.moves import move_execution, move_item
from workitems.services.receipts import record_item
from workitems.services.steps import close_step, open_step


def reseal(item: WorkItem, step: DecisionStep, *, ctx: ActingContext) -> None:
    """Supersede a locked, pending step and ask the policies in force again.

    Without an execution the case takes intake again. With one: a denial fails it (`policy_denied`) and the item is ready;
    an approval is asked anew over the same envelope; what is allowed now starts.
    """
    if step.status != StepStatus.PENDING:
        return
    execution = systems.execution_for_update(step.execution_id, tenant_id=step.tenant_id) if step.execution_id else None
    close_step(step, StepStatus.SUPERSEDED, item=item, ctx=ctx, execution=execution)
    if execution is None:
        move_item(item, WorkItemStatus.NEW)
        take_intake_decision(item, ctx=ctx)
        return
    _decide_execution(item, execution, ctx=ctx)


def _decide_execution(item: WorkItem, execution: Execution, *, ctx: ActingContext) -> None:
    decision = decide(decision_request(item, ctx=ctx, asked=asked_of(execution)), ctx=ctx)
    execution.policy_decision_id = decision.id
    execution.policy_version_id = item.policy_version_id = decision.policy_version_id
    match decision.outcome:
        case "require_approval":
            execution.save(update_fields=["policy_decision_id", "policy_version_id"])
            item.save(update_fields=["policy_version_id"])
            record_decision(item, decision, ctx=ctx, execution=execution)
            open_step(
                item,
                kind=StepKind.APPROVAL,
                rule=approval_rule(decision),
                decision=decision,
                ctx=ctx,
                execution=execution,
                envelope=execution.envelope,
                asked_by=execution.requested_by,
            )
        case "allow":
            move_execution(execution, ExecutionStatus.STARTED, "policy_decision_id", "policy_version_id")
            move_item(item, WorkItemStatus.EXECUTING, "policy_version_id")
            record_decision(item, decision, ctx=ctx, execution=execution)
            dispatch(execution.tenant_id, execution.id)
        case _:
            execution.failure = errors.PolicyDenied.reason_code
            execution.failure_detail = f"The policies in force refuse it now: {', '.join(decision.reason_codes)}."
            move_execution(
                execution,
                ExecutionStatus.FAILED,
                "failure",
                "failure_detail",
                "policy_decision_id",
                "policy_version_id",
            )
            move_item(item, WorkItemStatus.READY, "policy_version_id")
            record_decision(item, decision, ctx=ctx, execution=execution)
            record_item(
                "execution.failed",
                item,
                ctx=ctx,
                execution=execution,
                outcome={"status": execution.status, "work_item_status": item.status, "failure": execution.failure},
                reason_codes=(execution.failure,),
            )
