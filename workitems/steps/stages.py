"""Stages of an approval: notices and receipts when a vote opens the next stage."""

from __future__ import annotations

from policies.language.approvals import has_stages
from threada_site.kernel.context import ActingContext
from workitems.approvers.step_votes import StepVotes
from workitems.items.receipts import record_item
from workitems.lifecycle import StepStatus
from workitems.models import WorkItem
from workitems.notices.enqueue import notice


def notify_opened_stages(item: WorkItem, before: StepVotes, after: StepVotes, *, ctx: ActingContext) -> None:
    """Record that one more vote opened a stage of a pending step, and notify the approvers of that stage.

    Receipt `decision_step.stage_opened`.
    """
    step = after.step
    if step.status != StepStatus.PENDING or not has_stages(after.rule.tree):
        return
    now = after.result
    if now.opened == before.result.opened:
        return
    record_item(
        "decision_step.stage_opened",
        item,
        ctx=ctx,
        inputs={"decision_step_id": step.public_id},
        outcome={"status": step.status, "stage": now.stage, "stages": now.stages},
    )
    notice("assigned", step, None, ctx, occurrence=f"stages {'-'.join(map(str, now.opened))}")
