"""Stages of an approval: notices and receipts when a vote opens the next stage."""

from __future__ import annotations

from collections.abc import Sequence

from policies.language.approvals import from_json, has_stages
from threada_site.kernel.context import ActingContext
from workitems.approvers.eligibility import ActiveMembers, count_votes_on
from workitems.items.receipts import record_item
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, Vote, WorkItem
from workitems.notices.enqueue import notice


def notify_opened_stages(
    item: WorkItem,
    step: DecisionStep,
    before: Sequence[Vote],
    vote: Vote,
    active_members: ActiveMembers,
    *,
    ctx: ActingContext,
) -> None:
    """Record that `vote` opened a stage of a pending step, and notify the approvers of that stage.

    Receipt `decision_step.stage_opened`. `active_members` must contain all voters.
    """
    if step.status != StepStatus.PENDING or not has_stages(from_json(step.rule).tree):
        return
    workflow_id = item.workflow_version.workflow_id
    then = count_votes_on(step, active_members, before, workflow_id=workflow_id).opened
    now = count_votes_on(step, active_members, [*before, vote], workflow_id=workflow_id)
    if now.opened == then:
        return
    record_item(
        "decision_step.stage_opened",
        item,
        ctx=ctx,
        inputs={"decision_step_id": step.public_id},
        outcome={"status": step.status, "stage": now.stage, "stages": now.stages},
    )
    notice("assigned", step, None, ctx, occurrence=f"stages {'-'.join(map(str, now.opened))}")
