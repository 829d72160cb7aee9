"""Deadlines: what happens to a step that nobody decided in time. A vote and an expiry race for the same row lock."""

from __future__ import annotations

from datetime import datetime

from integrations import selectors as systems
from policies.approvals import from_json
from threada_site.kernel.context import ActingContext
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, WorkItem
from workitems.services.receipts import record_item, step_blocks
from workitems.services.steps import close_step
from workitems.services.voting import reject_item


def expire_step(item: WorkItem, step: DecisionStep, *, now: datetime, ctx: ActingContext) -> None:
    """Expire a locked step whose deadline has passed; one that was decided meanwhile is left alone.

    `on_expiry: escalate` gives it one more deadline of the same length first.
    """
    if step.status != StepStatus.PENDING or step.expires_at is None or step.expires_at > now:
        return
    rule = from_json(step.rule)
    if rule.on_expiry == "escalate" and step.escalated_at is None and rule.expires_after is not None:
        step.escalated_at = now
        step.expires_at = now + rule.expires_after
        step.save(update_fields=["escalated_at", "expires_at"])
        record_item("decision_step.escalated", item, ctx=ctx, **step_blocks(step), outcome={"status": step.status})
        return
    execution = systems.execution_for_update(step.execution_id, tenant_id=step.tenant_id) if step.execution_id else None
    reject_item(item, execution, ctx=ctx, expired=True)
    close_step(step, StepStatus.EXPIRED, item=item, ctx=ctx, execution=execution)
    if execution is not None:
        record_item("execution.expired", item, ctx=ctx, execution=execution, outcome={"status": execution.status})
