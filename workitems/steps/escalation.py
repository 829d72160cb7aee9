"""Escalation: further approvers may decide a step, after a deadline or on request.

They are added to the approvers of the rule: each may fill any leaf that is still open, and each member counts once.
Excluded members stay excluded.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from policies.language.approvals import Leaf, from_json
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import commitment
from workitems.approvers.active_members import active_members_of, approver_of, approvers_matching, escalation_leaves
from workitems.approvers.count_votes import Approver, excluded_transitively
from workitems.items.receipts import record_item, step_blocks, with_ids
from workitems.models import DecisionStep, WorkItem
from workitems.notices.enqueue import notice
from workitems.steps.pending_approvers import add_pending_approvers
from workitems.steps.voting import check_open, check_permitted, execution_of


def escalate_step(
    item: WorkItem, step: DecisionStep, *, to: Leaf | None = None, reason: str = "", ctx: ActingContext
) -> None:
    """Escalate a locked step to the targets of its rule or, with `workflow:manage`, to `to`.

    Raises `StepClosed`, `PermissionDenied`, `NobodyToEscalateTo`, `AlreadyEscalated`.
    """
    require_unit_of_work(ctx.tenant_id)
    check_permitted(item, ctx=ctx)
    check_open(step, execution_of(step))
    if to is not None and not ctx.allows(Scope.WORKFLOW_MANAGE, workflow=item.workflow_version.workflow_id):
        raise errors.PermissionDenied(
            "Escalating to anybody but whom the rule names needs workflow:manage. Leave `to` out."
        )
    targets = (to,) if to is not None else from_json(step.rule).escalate_to
    if not targets:
        raise errors.NobodyToEscalateTo(
            "The rule of this step names nobody to escalate to. Name somebody in `to`.",
            errors=[FieldError("/to", "is required here", "required")],
        )
    if to is not None and not _reached(step, targets, item=item):
        raise errors.NobodyToEscalateTo(
            f"Nobody of the {to.kind} {to.name} may decide this step.", errors=[FieldError("/to", "names nobody here")]
        )
    if not apply_escalation(item, step, targets, now=clock.now(), ctx=ctx, by_hand=True, reason=reason):
        raise errors.AlreadyEscalated("The step has been escalated to them already.")


def apply_escalation(
    item: WorkItem,
    step: DecisionStep,
    targets: Iterable[Leaf],
    *,
    now: datetime,
    ctx: ActingContext,
    by_hand: bool = False,
    reason: str = "",
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
    if reason:
        blocks["inputs"]["reason_commitment"] = commitment(bytes(item.payload_salt), reason)
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
