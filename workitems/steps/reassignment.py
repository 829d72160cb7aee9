"""Reassignment of a step to another member. It grants no permission: only the rule says who may decide."""

from __future__ import annotations

import uuid

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import commitment
from threada_site.tenancy.credentials.deciding import require_person
from threada_site.tenancy.independence import is_independent_of
from threada_site.tenancy.models import User
from workitems.approvers.step_votes import read_step_votes
from workitems.items.receipts import record_item
from workitems.models import DecisionStep, WorkItem
from workitems.notices.enqueue import notice
from workitems.steps.eligible_voter import check_eligible
from workitems.steps.voting import check_open, check_permitted, execution_of


def reassign_step(item: WorkItem, step: DecisionStep, to: User, *, reason: str = "", ctx: ActingContext) -> None:
    """Make `to`, whose vote must count, the assignee of a locked step. Ends a claim of anyone else.

    Allowed for people whose vote counts on the step, and for people with `workflow:manage`. Nobody assigns a step to
    themselves or to people who depend on them. Reassigning to the current assignee changes nothing. Raises
    `StepClosed`, `PermissionDenied`, `PersonRequired`, `VoterExcluded`, `VoterNotEligible`, `AssigneeNotEligible`.
    """
    require_unit_of_work(ctx.tenant_id)
    workflow_id = item.workflow_version.workflow_id
    check_permitted(item, ctx=ctx)
    require_person("Only a person can reassign a step.", ctx=ctx)
    check_open(step, execution_of(step))
    votes = read_step_votes(step, workflow_id=workflow_id)
    if not ctx.allows(Scope.WORKFLOW_MANAGE, workflow=workflow_id):
        check_eligible(votes, ctx=ctx)
    if to.id not in votes.can_vote_ids():
        raise errors.AssigneeNotEligible(
            f"{to.username} does not count on this step, has a part in the case, or has voted.",
            errors=[FieldError("/to", "may not decide this step", "not_eligible")],
        )
    if step.assignee_id == to.id:
        return
    if not is_independent_of(ctx.principal_id, [to.id], tenant_id=ctx.tenant_id):
        raise errors.AssigneeNotEligible(
            "Nobody assigns a step to themselves or to people who depend on them. To decide it yourself, claim it.",
            errors=[FieldError("/to", "is you or depends on you", "not_eligible")],
        )
    step.assignee_id = to.id
    changed = ["assignee"]
    if step.claimed_by_id not in (None, to.id):
        step.claimed_by_id = step.claimed_until = None
        changed += ["claimed_by", "claimed_until"]
    step.save(update_fields=changed)
    inputs = {"decision_step_id": step.public_id, "assignee": ids.public_id(ids.PRINCIPAL, to.id)}
    if reason:
        inputs["reason_commitment"] = commitment(bytes(item.payload_salt), reason)
    record_item("decision_step.reassigned", item, ctx=ctx, inputs=inputs, outcome={"status": step.status})
    notice("assigned", step, [to.id], ctx, occurrence=f"reassigned-{ids.new_uuid().hex}")


def named_principal(name: str, *, ctx: ActingContext) -> User | None:
    """Return the member of the tenant that a request names by id (`pr_…`) or by username."""
    parsed = ids.parse_public_id(ids.PRINCIPAL, name)
    wanted: dict[str, uuid.UUID | str] = {"id": parsed} if parsed else {"username": name}
    return User.objects.filter(memberships__tenant_id=ctx.tenant_id, is_active=True, **wanted).first()
