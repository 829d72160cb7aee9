"""Deadlines of a step: reminder, escalation, expiry. A vote and an expiry compete for the same row lock."""

from __future__ import annotations

from datetime import datetime

from integrations import selectors as integration_selectors
from policies import selectors as policy_selectors
from policies.language.approvals import ApprovalRule, from_json
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from workitems.items.receipts import record_item, step_blocks
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, WorkItem
from workitems.notices.enqueue import notice
from workitems.steps.due_dates import due_dates
from workitems.steps.escalation import apply_escalation
from workitems.steps.frozen_steps import is_frozen
from workitems.steps.opening_and_closing import close_step
from workitems.steps.pauses import has_expired, is_pause_over, resume_step
from workitems.steps.voting import expire_item


def act_on_deadlines(item: WorkItem, step: DecisionStep, *, now: datetime, ctx: ActingContext) -> None:
    """Apply the passed deadlines of a locked step. Repeated calls and decided steps change nothing."""
    if step.status != StepStatus.PENDING or is_frozen(step):
        return
    if step.paused_at is not None:
        if not is_pause_over(step, now=now):
            return
        resume_step(item, step, now=now, ctx=ctx)
    if step.expires_at is not None and step.expires_at <= now:
        expire_step(item, step, now=now, ctx=ctx)
        return
    if step.escalate_at is not None and step.escalate_at <= now:
        apply_escalation(item, step, from_json(step.rule).escalate_to, now=now, ctx=ctx)
    if step.remind_at is not None and step.remind_at <= now:
        _remind(item, step, ctx=ctx)


def expire_step(item: WorkItem, step: DecisionStep, *, now: datetime, ctx: ActingContext) -> None:
    """Expire a locked step whose deadline has passed. A step that is no longer pending is left unchanged.

    With `on_expiry: escalate` the first expiry extends the deadline once by the same length and escalates the step
    instead.
    """
    if step.status != StepStatus.PENDING or step.expires_at is None or not has_expired(step, now=now):
        return
    rule = from_json(step.rule)
    if rule.on_expiry == "escalate" and step.extended_at is None:
        _extend(item, step, rule, now=now, ctx=ctx)
        return
    execution = (
        integration_selectors.execution_for_update(step.execution_id, tenant_id=step.tenant_id)
        if step.execution_id
        else None
    )
    expire_item(item, execution, ctx=ctx)
    close_step(step, StepStatus.EXPIRED, item=item, ctx=ctx, execution=execution)
    if execution is not None:
        record_item("execution.expired", item, ctx=ctx, execution=execution, outcome={"status": execution.status})


def _extend(item: WorkItem, step: DecisionStep, rule: ApprovalRule, *, now: datetime, ctx: ActingContext) -> None:
    step.extended_at = now
    step.expires_at = due_dates(rule, now, policy_selectors.working_calendar(rule, tenant_id=step.tenant_id)).expires_at
    step.save(update_fields=["extended_at", "expires_at"])
    if not apply_escalation(item, step, rule.escalate_to, now=now, ctx=ctx):
        record_item("decision_step.extended", item, ctx=ctx, **step_blocks(step), outcome={"status": step.status})


def _remind(item: WorkItem, step: DecisionStep, *, ctx: ActingContext) -> None:
    assert step.remind_at is not None  # noqa: S101
    occurrence = rfc3339(step.remind_at)
    step.remind_at = None
    step.save(update_fields=["remind_at"])
    record_item("decision_step.reminded", item, ctx=ctx, **step_blocks(step), outcome={"status": step.status})
    notice("reminder", step, None, ctx, occurrence=occurrence)
