"""Claims of decision steps: a member tells the others that they are working on a step."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext
from workitems.approvers.step_votes import read_step_votes
from workitems.items.receipts import record_item
from workitems.models import DecisionStep, WorkItem
from workitems.steps.eligible_voter import check_eligible
from workitems.steps.voting import check_open, check_permitted, execution_of

CLAIM_LASTS: Final = timedelta(minutes=30)


def claim_step(item: WorkItem, step: DecisionStep, *, ctx: ActingContext) -> None:
    """Claim a step for half an hour. The claim is displayed; other approvers may still vote."""
    check_permitted(item, ctx=ctx)
    check_open(step, execution_of(step))
    check_eligible(read_step_votes(step, workflow_id=item.workflow_version.workflow_id, acting=ctx), ctx=ctx)
    now = clock.now()
    if step.claimant_at(now) not in (None, ctx.principal_id):
        raise errors.StepClaimed("Another person has claimed this step. Wait until the claim is released or ends.")
    step.claimed_by_id = ctx.principal_id
    step.claimed_until = now + CLAIM_LASTS
    step.save(update_fields=["claimed_by", "claimed_until"])
    record_item(
        "decision_step.claimed",
        item,
        ctx=ctx,
        inputs={"decision_step_id": step.public_id},
        outcome={"status": step.status},
    )


def release_step(item: WorkItem, step: DecisionStep, *, ctx: ActingContext) -> None:
    """Release a claim. Without a claim, or after it has expired, nothing changes."""
    check_permitted(item, ctx=ctx)
    check_open(step, execution_of(step))
    claimant = step.claimant_at(clock.now())
    if claimant is None:
        return
    if claimant != ctx.principal_id:
        raise errors.StepClaimed("Only who claimed a step may release it; a claim ends by itself after half an hour.")
    step.claimed_by_id = None
    step.claimed_until = None
    step.save(update_fields=["claimed_by", "claimed_until"])
    record_item(
        "decision_step.released",
        item,
        ctx=ctx,
        inputs={"decision_step_id": step.public_id},
        outcome={"status": step.status},
    )
