"""Amendments ("approve with changes"): an approver changes the input or payload, and a new step asks for approval.

No vote is carried over to the new envelope, not even the editor's. Only an approver whose vote would count may amend.
A rule that excludes the last editor excludes that approver from the new step. An amendment about which nobody could
decide is refused. The new step requires at least the approvals of the step that it replaces, even if the policies would
allow the amended action without any.
"""

from __future__ import annotations

import uuid
from copy import copy
from dataclasses import dataclass
from typing import Any

from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from policies.deciding.decide import decide
from policies.language.approvals import ApprovalRule, from_json, merge
from policies.models import PolicyDecision
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import canonical_bytes, commitment
from threada_site.kernel.json.differences import Difference, difference
from threada_site.kernel.json.strict import parse_json
from threada_site.tenancy.members import Member
from workitems.approvers.step_votes import read_step_votes
from workitems.executions.close_item import checked_new_payload, replace_payload
from workitems.executions.re_evaluate import await_approval, re_evaluate, rebuild_envelope
from workitems.items.actors import payload_author
from workitems.items.receipts import record_item
from workitems.items.transitions import transition_execution, transition_item
from workitems.lifecycle import StepKind, StepStatus, WorkItemStatus
from workitems.models import DecisionStep, WorkItem
from workitems.steps.exclusions import controllers_when_opened, excluded_principals
from workitems.steps.opening_and_closing import asked_by_action, close_step, open_step
from workitems.steps.policy.decision import (
    approval_rule,
    decision_request,
    record_decision,
    refusal_reasons,
    was_reviewed,
)
from workitems.steps.voting import check_may_decide, execution_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """New input of the action or new payload, and the hash of the envelope that the editor was shown."""

    envelope_sha256: str
    input: dict[str, Any] | None = None
    payload: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Amended:
    """New pending step, the difference between its envelope and the previous one, and the people who can decide."""

    step: DecisionStep
    difference: Difference
    approvers: frozenset[uuid.UUID]


def amend_input(item: WorkItem, step: DecisionStep, amendment: Amendment, *, ctx: ActingContext) -> Amended:
    """Amend what a locked, pending step is about: supersede the step and open a new one over a new envelope.

    The policies in force decide about the amendment. If they deny it, or if no envelope can be built, nothing changes.
    If the new payload requires a review, the waiting execution is cancelled. Raises the errors of `cast_vote`, and
    `PolicyDenied`, `NobodyCanDecide`, `InvalidRequest`, `PayloadTooLarge`, `PayloadSchemaViolation`,
    `ExpressionFailed`.
    """
    execution = execution_of(step)
    check_may_decide(item, step, execution, amendment.envelope_sha256, ctx=ctx)
    edits_input = _edits(amendment.input, execution.input if execution else None, "/input")
    edits_payload = _edits(amendment.payload, item.payload, "/payload")
    if not (edits_input or edits_payload):
        raise errors.InvalidRequest("This changes nothing. To approve it as it is, vote on it.")
    if edits_input and execution is None:
        unused = FieldError("/input", "this step is about no action, so there is no input", "not_allowed")
        raise errors.InvalidRequest("This step is about the work item itself. Change its payload.", errors=[unused])
    new_payload = checked_new_payload(item, amendment.payload, ctx=ctx) if edits_payload else None
    close_step(step, StepStatus.SUPERSEDED, item=item, ctx=ctx, execution=execution)
    if execution is not None and edits_input:
        _replace_input(item, execution, amendment.input or {}, ctx=ctx)
    if new_payload is not None:
        replace_payload(item, new_payload, ctx=ctx)
    following = _re_evaluate(item, step, execution, new_payload=edits_payload, ctx=ctx)
    amended = Amended(
        following,
        difference(parse_json(bytes(step.envelope.body)), parse_json(bytes(following.envelope.body))),
        _approvers_of(item, following),
    )
    parts = [name for name, edited in (("input", edits_input), ("payload", edits_payload)) if edited]
    _record_amended(item, step, execution, amended, parts, ctx=ctx)
    return amended


def approvers_after_amendment(item: WorkItem, step: DecisionStep, *, ctx: ActingContext) -> list[Member]:
    """Return the people who could decide if the acting person amended a step, by the rule of the step.

    The policies may ask for more people when they evaluate the amendment. An earlier editor of the payload is left out.
    """
    following = copy(step)
    rule = from_json(step.rule)
    excluded = excluded_principals(
        item, rule, pins=step.policy_version_ids, asked_by=_asked_by(step), input_edited_by=ctx.principal_id
    )
    following.excluded_ids = sorted(excluded)
    following.excluded_controllers = controllers_when_opened(excluded, tenant_id=item.tenant_id)
    votes = read_step_votes(following, (), workflow_id=item.workflow_version.workflow_id)
    eligible = votes.eligible_ids()
    return [] if votes.result.nobody_can_decide else [one for one in votes.active_members if one.id in eligible]


def _asked_by(step: DecisionStep) -> uuid.UUID | None:
    return step.execution.requested_by if step.execution else asked_by_action(step)


def _approvers_of(item: WorkItem, step: DecisionStep) -> frozenset[uuid.UUID]:
    """Return the people who can vote on a new step. Raise `NobodyCanDecide` if they cannot complete it.

    A rule that names targets of an escalation is completed by those.
    """
    votes = read_step_votes(step, (), workflow_id=item.workflow_version.workflow_id)
    if votes.result.nobody_can_decide and not from_json(step.rule).escalate_to:
        raise errors.NobodyCanDecide(
            "Too few people would be left who can decide about the changed request. Nothing was changed."
        )
    return frozenset(votes.eligible_ids())


def _edits(sent: Any, now: Any, pointer: str) -> bool:
    """Return True if `sent` differs from the current value. Raise `InvalidRequest` unless it is an object."""
    if sent is None:
        return False
    if not isinstance(sent, dict):
        raise errors.InvalidRequest(errors=[FieldError(pointer, "must be an object", "type")])
    return now is None or canonical_bytes(sent) != canonical_bytes(now)


def _replace_input(item: WorkItem, execution: Execution, value: dict[str, Any], *, ctx: ActingContext) -> None:
    execution.input = value
    execution.input_edited_by = ctx.principal_id
    execution.save(update_fields=["input", "input_edited_by"])
    record_item(
        "execution.input_edited",
        item,
        ctx=ctx,
        execution=execution,
        inputs={"input_commitment": commitment(bytes(item.payload_salt), value)},
        outcome={"status": execution.status},
    )


def _re_evaluate(
    item: WorkItem, step: DecisionStep, execution: Execution | None, *, new_payload: bool, ctx: ActingContext
) -> DecisionStep:
    """Evaluate the policies for the new payload, then for the waiting action, and open the next step."""
    if not new_payload:
        assert execution is not None  # noqa: S101  (without an execution only the payload can change)
        return _ask_about_action(item, step, execution, ctx=ctx)
    decision = decide(decision_request(item, actor=payload_author(item)), ctx=ctx)
    item.policy_version_id = decision.policy_version_id
    if decision.outcome == "deny":
        raise _denied(decision)
    needed = decision.outcome == "require_approval" or (decision.outcome == "review" and not was_reviewed(item))
    if execution is None:
        return _ask_about_item(item, step, decision, needed=needed, ctx=ctx)
    if needed:
        transition_execution(execution, ExecutionStatus.CANCELLED)
        record_item("execution.cancelled", item, ctx=ctx, execution=execution, outcome={"status": execution.status})
        return _ask_about_item(item, None, decision, needed=True, ctx=ctx)
    transition_item(item, WorkItemStatus.READY, "policy_version_id")
    record_decision(item, decision, ctx=ctx)
    transition_item(item, WorkItemStatus.AWAITING_APPROVAL)
    return _ask_about_action(item, step, execution, ctx=ctx)


def _ask_about_action(item: WorkItem, step: DecisionStep, execution: Execution, *, ctx: ActingContext) -> DecisionStep:
    decision = re_evaluate(item, execution, ctx=ctx)
    if decision.outcome not in ("allow", "require_approval"):
        raise _denied(decision)
    rebuild_envelope(item, execution, decision, ctx=ctx)
    rule = _no_fewer(step, decision, needed=decision.outcome == "require_approval")
    return await_approval(item, execution, decision, rule, ctx=ctx)


def _ask_about_item(
    item: WorkItem, replaced: DecisionStep | None, decision: PolicyDecision, *, needed: bool, ctx: ActingContext
) -> DecisionStep:
    """Open a step about the item. `replaced` is the previous step of the same kind, None after one about an action."""
    is_approval = (needed and decision.outcome == "require_approval") or (
        replaced is not None and replaced.kind == StepKind.APPROVAL
    )
    transition_item(
        item, WorkItemStatus.AWAITING_APPROVAL if is_approval else WorkItemStatus.IN_REVIEW, "policy_version_id"
    )
    record_decision(item, decision, ctx=ctx)
    return open_step(
        item,
        kind=StepKind.APPROVAL if is_approval else StepKind.REVIEW,
        rule=_no_fewer(replaced, decision, needed=needed) if replaced else approval_rule(decision),
        decision=decision,
        ctx=ctx,
        asked_by=asked_by_action(replaced) if replaced else None,
        question=replaced.question if replaced else "",
    )


def _no_fewer(replaced: DecisionStep, decision: PolicyDecision, *, needed: bool) -> ApprovalRule:
    """Return the approval rule that the policies require now, merged with the rule of the replaced step."""
    before = from_json(replaced.rule)
    return merge([before, approval_rule(decision)]) if needed else before


def _denied(decision: PolicyDecision) -> errors.PolicyDenied:
    return errors.PolicyDenied(
        "A policy refuses it with this change. Nothing was changed; see reasons.", reasons=refusal_reasons(decision)
    )


def _record_amended(
    item: WorkItem,
    step: DecisionStep,
    execution: Execution | None,
    amended: Amended,
    parts: list[str],
    *,
    ctx: ActingContext,
) -> None:
    """Write the receipt that links both envelopes. It contains the changed places, never the values."""
    record_item(
        "decision_step.changed",
        item,
        ctx=ctx,
        execution=execution,
        inputs={
            "decision_step_id": step.public_id,
            "envelope_sha256": step.envelope_sha256,
            "changed": parts,
            "places": [change.pointer for change in amended.difference.changes],
        },
        outcome={
            "decision_step_id": amended.step.public_id,
            "envelope_sha256": amended.step.envelope_sha256,
            "status": amended.step.status,
        },
    )
