"""Policy decisions about a case, and their effect on it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from integrations.models import Execution
from policies.deciding.decide import DecisionRequest, decide
from policies.language.approvals import REVIEW_DEFAULT, ApprovalRule, from_json
from policies.models import PolicyDecision
from policies.selectors import workflow_document
from threada_site.database.batched_writes import batched_writes
from threada_site.jobs.enqueue import withdraw_jobs
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from workitems.items.actors import Actor, payload_author
from workitems.items.intake import DECIDE_INTAKE
from workitems.items.lookalikes import mark_lookalikes
from workitems.items.receipts import payload_inputs, record_item
from workitems.items.transitions import transition_item
from workitems.lifecycle import StepKind, StepStatus, WorkItemStatus
from workitems.models import DecisionStep, WorkItem
from workitems.steps.opening_and_closing import open_step


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionAsked:
    """Action to be executed, with its input."""

    integration: str
    action: str
    input: Any
    execution_id: uuid.UUID | None = None


def decision_request(item: WorkItem, *, actor: Actor, asked: ActionAsked | None = None) -> DecisionRequest:
    """Return the facts of a case for the policies: at intake or, with `asked`, at the execution of an action.

    `actor` is the principal that requested the action, not the worker that runs it.
    """
    return DecisionRequest(
        point="execute" if asked else "intake",
        work_item_id=item.id,
        execution_id=asked.execution_id if asked else None,
        workflow=item.workflow,
        channel=item.channel,
        payload=item.payload,
        confidence=item.confidence,
        risk_flags=tuple(item.risk_flags),
        requester=ids.public_id(ids.PRINCIPAL, item.requester_id),
        data_class=item.data_class,
        item_version=item.version,
        salt=bytes(item.payload_salt),
        action=asked.action if asked else "",
        integration=asked.integration if asked else "",
        input=asked.input if asked else {},
        actor=actor.id,
        actor_kind=actor.kind,
        roles=actor.roles,
    )


def take_intake_decision(item: WorkItem, *, ctx: ActingContext) -> PolicyDecision | None:
    """Decide about a locked item with status `new` and delete its waiting job. Return None for any other item."""
    if item.status != WorkItemStatus.NEW:
        return None
    with batched_writes():
        decision = decide_new_item(item, ctx=ctx)
        withdraw_jobs(DECIDE_INTAKE, [str(item.id)])
    return decision


def decide_new_item(item: WorkItem, *, ctx: ActingContext) -> PolicyDecision:
    """Decide about a locked item with status `new`.

    deny → `refused`; review → a review step, unless one was approved for this payload; require_approval → an approval
    step over the envelope of the item; allow → `ready`.
    """
    with batched_writes():
        mark_lookalikes(item, workflow_document(item.workflow_version_id, ctx=ctx))
        decision = decide(decision_request(item, actor=payload_author(item)), ctx=ctx)
        item.policy_version_id = decision.policy_version_id
        match decision.outcome:
            case "deny":
                _decided(item, decision, WorkItemStatus.REFUSED, ctx=ctx)
            case "review" if not was_reviewed(item):
                _decided(item, decision, WorkItemStatus.IN_REVIEW, ctx=ctx)
                open_step(item, kind=StepKind.REVIEW, rule=approval_rule(decision), decision=decision, ctx=ctx)
            case "require_approval":
                _decided(item, decision, WorkItemStatus.AWAITING_APPROVAL, ctx=ctx)
                open_step(item, kind=StepKind.APPROVAL, rule=approval_rule(decision), decision=decision, ctx=ctx)
            case "allow" | "review":
                _decided(item, decision, WorkItemStatus.READY, ctx=ctx)
            case _:
                raise AssertionError(decision.outcome)
    return decision


def record_decision(
    item: WorkItem, decision: PolicyDecision, *, ctx: ActingContext, execution: Execution | None = None
) -> None:
    """Write the receipt of a policy decision about `item`."""
    record_item(
        "policy.decided",
        item,
        ctx=ctx,
        execution=execution,
        policy_version_id=decision.policy_version_id,
        inputs={**payload_inputs(item), "facts_commitment": decision.facts_sha256, "point": decision.point},
        policy={
            "policy_decision_id": decision.public_id,
            "matched": decision.matched,
            "versions": decision.versions,
        },
        outcome={"effect": decision.outcome, "status": item.status},
        reason_codes=tuple(decision.reason_codes),
    )


def approval_rule(decision: PolicyDecision) -> ApprovalRule:
    """Return the merged approval rule of the matched rules, or the rule of a plain review."""
    return from_json(decision.approvals) if decision.approvals else REVIEW_DEFAULT


def refusal_reasons(decision: PolicyDecision) -> list[dict[str, Any]]:
    """Return the reasons of the tenant, for the field `reasons` of a `policy_denied` problem.

    A rule with a message adds `message`.
    """
    if not decision.matched:
        return [{"reason": code} for code in decision.reason_codes]
    shown = ("reason", "policy", "rule", "message")
    return [{name: rule[name] for name in shown if name in rule} for rule in decision.matched]


def _decided(item: WorkItem, decision: PolicyDecision, status: WorkItemStatus, *, ctx: ActingContext) -> None:
    transition_item(item, status, "policy_version_id")
    record_decision(item, decision, ctx=ctx)


def was_reviewed(item: WorkItem) -> bool:
    """Return True if a review was approved for exactly this payload, so that it is not required again."""
    if item.first_step_opened_at is None:
        return False
    return DecisionStep.objects.filter(
        tenant_id=item.tenant_id,
        work_item=item,
        kind=StepKind.REVIEW,
        status=StepStatus.APPROVED,
        payload_sha256=item.payload_sha256,
    ).exists()
