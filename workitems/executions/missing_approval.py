"""Executions whose approvals no longer satisfy the policies in force: they wait for what is missing."""

from __future__ import annotations

import uuid
from typing import Final

from integrations import selectors as integration_selectors
from integrations.attempts.failures import FailureClass
from integrations.executions.dispatch import dispatch
from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from policies.deciding.decide import decide, deciding_rules
from policies.language.approvals import REVIEW_DEFAULT, ApprovalRule
from policies.language.evaluation import Verdict
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.sentences import marked
from workitems.executions.open_envelope import GivenApprovals
from workitems.executions.recount import Recount, recount
from workitems.executions.request_action import asked_of
from workitems.items.actors import actor_of
from workitems.items.receipts import record_item
from workitems.items.transitions import transition_execution, transition_unless_undo
from workitems.lifecycle import StepKind, WorkItemStatus
from workitems.models import WorkItem
from workitems.permits.units import reserve_unit, return_unused_unit, unit_still_covers
from workitems.steps.opening_and_closing import open_step
from workitems.steps.opening_facts import cast_id
from workitems.steps.policy.decision import approval_rule, decision_request, record_decision

DETAIL: Final = marked("The approvals given do not satisfy the policies in force, or no longer count.")


def missing_approval(item: WorkItem, execution: Execution, verdict: Verdict, given: GivenApprovals) -> Recount | None:
    """Return the recount of the votes if the policies in force require approvals that these do not satisfy."""
    if str(verdict.outcome) != "require_approval":
        return None
    if execution.permit_id is not None:
        return None if unit_still_covers(item, execution, verdict) else Recount()
    found = recount(item, execution, _rule_of(verdict), given, pins=_pins_of(verdict))
    return None if found.is_approved else found


def require_missing_approval(item: WorkItem, execution: Execution, found: Recount, *, ctx: ActingContext) -> None:
    """Move a locked execution that is due to `awaiting_approval`, with a step over the same envelope.

    The votes that still count are carried to the step. An execution that may already have acted ends as
    `outcome_unknown` instead. Receipt `execution.approval_missing`. If the execution used a permit, a permit that
    covers it now takes the place of the step: a retried execution has returned its unit when it failed. If it keeps its
    unit, because an attempt before a retry may have acted, people are asked.
    """
    if integration_selectors.may_have_acted(execution):
        execution.failure = FailureClass.APPROVAL_MISSING
        execution.failure_detail = f"{DETAIL} An earlier attempt may have acted, so it is not called again."
        transition_execution(execution, ExecutionStatus.OUTCOME_UNKNOWN, "failure", "failure_detail")
        _record("execution.outcome_unknown", item, execution, found, ctx=ctx)
        return
    actor = actor_of(execution)
    decision = decide(decision_request(item, actor=actor, asked=asked_of(execution)), ctx=ctx)
    record_decision(item, decision, ctx=ctx, execution=execution)
    permit = None
    if execution.permit_id is not None:
        is_returned = return_unused_unit(item, execution, ctx=ctx)
        execution.permit_id = None
        if is_returned and decision.outcome == "require_approval":
            permit = reserve_unit(item, execution, decision, envelope_sha256=execution.envelope.sha256, ctx=ctx)
    if permit is not None or decision.outcome != "require_approval":
        # Look again: with another unit, or because a policy was published since the re-check.
        execution.dispatched_at = None
        execution.save(update_fields=["dispatched_at", "permit_id"])
        dispatch(execution.tenant_id, execution.id)
        return
    execution.failure, execution.failure_detail = "", DETAIL
    execution.attempts_before = execution.attempts_made
    execution.worker_deaths = 0
    execution.tries_began_at = execution.next_try_at = execution.dispatched_at = None
    transition_execution(
        execution,
        ExecutionStatus.AWAITING_APPROVAL,
        "failure",
        "failure_detail",
        "attempts_before",
        "worker_deaths",
        "tries_began_at",
        "next_try_at",
        "dispatched_at",
        "permit_id",
    )
    transition_unless_undo(item, execution, WorkItemStatus.AWAITING_APPROVAL)
    _record("execution.approval_missing", item, execution, found, ctx=ctx)
    open_step(
        item,
        kind=StepKind.APPROVAL,
        rule=approval_rule(decision),
        decision=decision,
        ctx=ctx,
        execution=execution,
        envelope=execution.envelope,
        asked_by=execution.requested_by,
        carried=found.valid,
    )


def _record(kind: str, item: WorkItem, execution: Execution, found: Recount, *, ctx: ActingContext) -> None:
    record_item(
        kind,
        item,
        ctx=ctx,
        execution=execution,
        inputs={
            "envelope_sha256": execution.envelope.sha256,
            "votes": [cast_id(vote) for vote in found.valid],
            "votes_not_counted": [cast_id(vote) for vote in found.lost],
        },
        outcome={"status": execution.status, "work_item_status": item.status},
        reason_codes=(FailureClass.APPROVAL_MISSING,),
    )


def _rule_of(verdict: Verdict) -> ApprovalRule:
    return verdict.approvals or REVIEW_DEFAULT


def _pins_of(verdict: Verdict) -> list[uuid.UUID]:
    """Return the ids of the policy versions whose rules require the approval now."""
    parsed = (ids.parse_public_id(ids.POLICY_VERSION, rule.version_id) for rule in deciding_rules(verdict))
    return sorted({value for value in parsed if value is not None})
