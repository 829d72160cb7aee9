"""Escalation: further approvers may decide a step, after a deadline or on request.

They are added to the approvers of the rule: each may fill any leaf that is still open, and each member counts once.
Excluded members stay excluded. Escalation to somebody whom the rule does not name needs two people.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from policies.language.approvals import Leaf, from_json
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import commitment
from threada_site.tenancy.change_sets import ProposedChange, operation, proposer_of, require_confirmation
from threada_site.tenancy.credentials.deciding import require_person
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES
from threada_site.tenancy.independence import are_independent, read_controllers
from workitems.approvers.active_members import (
    active_members_of,
    approver_of,
    approvers_matching,
    escalation_leaves,
    stands_for,
)
from workitems.approvers.count_votes import Approver, excluded_transitively
from workitems.items.locks import locked_step
from workitems.items.receipts import record_item, step_blocks, with_ids
from workitems.models import DecisionStep, WorkItem
from workitems.notices.enqueue import notice
from workitems.steps.pending_approvers import add_pending_approvers
from workitems.steps.voting import check_open, check_permitted, execution_of


def escalate_step(
    item: WorkItem, step: DecisionStep, *, to: Leaf | None = None, reason: str = "", ctx: ActingContext
) -> None:
    """Escalate a locked step to the targets of its rule or, as a person with `workflow:manage`, to `to`.

    An escalation to `to` takes effect when an independent person publishes it as a change set. Raises `StepClosed`,
    `PermissionDenied`, `PersonRequired`, `NobodyToEscalateTo`, `AlreadyEscalated`, `SecondPersonRequired` (`to` names
    the acting person or a person who is not independent), `ConfirmationRequired`.
    """
    require_unit_of_work(ctx.tenant_id)
    reason_commitment = commitment(bytes(item.payload_salt), reason) if reason else ""
    if to is not None:
        _escalate_outside_rule(item, step, to, reason_commitment=reason_commitment, ctx=ctx)
        return
    check_permitted(item, ctx=ctx)
    check_open(step, execution_of(step))
    targets = from_json(step.rule).escalate_to
    if not targets:
        raise errors.NobodyToEscalateTo(
            "The rule of this step names nobody to escalate to. Name somebody in `to`.",
            errors=[FieldError("/to", "is required here", "required")],
        )
    by_hand: dict[str, Any] = {"now": clock.now(), "by_hand": True, "reason_commitment": reason_commitment}
    if not apply_escalation(item, step, targets, ctx=ctx, **by_hand):
        raise errors.AlreadyEscalated("The step has been escalated to them already.")


@operation("decision_step.escalate", scope=Scope.WORKFLOW_MANAGE)
def _publish_escalation(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    step_id = ids.parse_public_id(ids.DECISION_STEP, arguments["decision_step_id"])
    if step_id is None:
        raise errors.NotFound
    item, step = locked_step(step_id, ctx=ctx)
    (to,) = escalation_leaves([arguments["to"]])
    _escalate_outside_rule(item, step, to, reason_commitment=arguments["reason_commitment"], ctx=ctx)


def _escalate_outside_rule(
    item: WorkItem, step: DecisionStep, to: Leaf, *, reason_commitment: str, ctx: ActingContext
) -> None:
    """Escalate a locked step to `to`, whom the rule does not name. Needs a second, independent person."""
    check_permitted(item, ctx=ctx)
    if not ctx.allows(Scope.WORKFLOW_MANAGE, workflow=item.workflow_version.workflow_id):
        raise errors.PermissionDenied(
            "Escalating to anybody but whom the rule names needs workflow:manage. Leave `to` out."
        )
    require_person("Only a person can escalate to somebody whom the rule does not name.", ctx=ctx)
    check_open(step, execution_of(step))
    reached = _reached(step, (to,), item=item)
    if not reached:
        raise errors.NobodyToEscalateTo(
            f"Nobody of the {to.kind} {to.name} may decide this step.", errors=[FieldError("/to", "names nobody here")]
        )
    known = escalation_leaves(step.escalated_to)
    if to in known:
        raise errors.AlreadyEscalated("The step has been escalated to them already.")
    proposer = proposer_of(ctx)
    _check_independent_targets(reached, {ctx.principal_id, *([proposer] if proposer else [])}, step=step)
    target = {to.kind: to.name}
    require_confirmation(
        ProposedChange(
            rule=POLICY_FOUR_EYES,
            operation="decision_step.escalate",
            title=f"Escalate {step.public_id} to the {to.kind} {to.name}",
            arguments={
                "decision_step_id": step.public_id,
                "to": target,
                "reason_commitment": reason_commitment,
            },
            before={"rule": step.rule, "escalated_to": step.escalated_to},
            after={
                "rule": step.rule,
                "escalated_to": [*step.escalated_to, target],
                "may_decide_too": sorted(person.name for person in reached),
            },
        ),
        ctx=ctx,
        always=True,
    )
    apply_escalation(
        item,
        step,
        (to,),
        now=clock.now(),
        ctx=ctx,
        by_hand=True,
        reason_commitment=reason_commitment,
        proposed_by=proposer,
    )


def _check_independent_targets(reached: Iterable[Approver], actors: set[uuid.UUID], *, step: DecisionStep) -> None:
    """Raise `SecondPersonRequired` if one of `reached`, or a delegate of one, is not independent of an actor."""
    ids_reached = {person.id for person in reached}
    standing = stands_for(step.tenant_id, now=clock.now())
    ids_reached |= {delegate for delegate, others in standing.items() if not ids_reached.isdisjoint(others)}
    controllers = read_controllers(step.tenant_id, ids_reached | actors)
    for actor in actors:
        if not all(are_independent(actor, person, controllers) for person in ids_reached):
            raise errors.SecondPersonRequired(
                "Nobody escalates a step to themselves or to people who depend on them. Name somebody else in `to`."
            )


def apply_escalation(
    item: WorkItem,
    step: DecisionStep,
    targets: Iterable[Leaf],
    *,
    now: datetime,
    ctx: ActingContext,
    by_hand: bool = False,
    reason_commitment: str = "",
    proposed_by: uuid.UUID | None = None,
) -> bool:
    """Let `targets` decide a locked step and save the step. Return False if all of them could already."""
    known = escalation_leaves(step.escalated_to)
    added = [leaf for leaf in targets if leaf not in known]
    step.escalate_at = None
    if not added:
        step.save(update_fields=["escalate_at"])
        return False
    step.escalated_at = now
    step.escalated_to = [*step.escalated_to, *({leaf.kind: leaf.name} for leaf in added)]
    step.reachability_check_due = True
    step.save(update_fields=["escalate_at", "escalated_at", "escalated_to", "reachability_check_due"])
    add_pending_approvers(step, added, workflow_id=item.workflow_version.workflow_id)
    blocks = step_blocks(step)
    blocks["inputs"] |= {
        "escalated_to": with_ids([{leaf.kind: leaf.name} for leaf in added]),
        "by_hand": by_hand,
    }
    if reason_commitment:
        blocks["inputs"]["reason_commitment"] = reason_commitment
    if proposed_by is not None:
        blocks["inputs"]["proposed_by"] = ids.public_id(ids.PRINCIPAL, proposed_by)
    record_item("decision_step.escalated", item, ctx=ctx, **blocks, outcome={"status": step.status})
    reached = [person.id for person in _reached(step, added, item=item)]
    notice("escalated", step, reached, ctx, occurrence=ids.public_id("no", ids.new_uuid()) if by_hand else "timer")
    return True


def _reached(step: DecisionStep, targets: Iterable[Leaf], *, item: WorkItem) -> list[Approver]:
    """Return the approvers that match `targets` and are not excluded."""
    active_members = active_members_of(step.tenant_id)
    people = [approver_of(member, workflow_id=item.workflow_version.workflow_id) for member in active_members]
    excluded = excluded_transitively(step.excluded_ids, active_members.stands_for)
    return [person for person in approvers_matching(targets, people) if person.id not in excluded]
