"""Steps that no member can complete any more: receipt, escalation to the targets of the rule, notice to stewards."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from policies.language.approvals import from_json
from threada_site.identity.personal_notices import notify_stewards
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, system_context
from threada_site.tenancy.models import Tenant
from workitems.items.receipts import record_item, step_blocks
from workitems.models import DecisionStep, WorkItem
from workitems.steps.escalation import apply_escalation


def escalate_unreachable(item: WorkItem, step: DecisionStep, *, ctx: ActingContext) -> bool:
    """Record that nobody can complete a locked step, and escalate it as its rule says. Return True if it escalated.

    Receipts `decision_step.nobody_can_decide` and `decision_step.escalated`.
    """
    record_item("decision_step.nobody_can_decide", item, ctx=ctx, **step_blocks(step), outcome={"status": step.status})
    targets = from_json(step.rule).escalate_to
    return bool(targets) and apply_escalation(item, step, targets, now=clock.now(), ctx=ctx)


def tell_stewards(step_ids: Sequence[str], *, ctx: ActingContext) -> None:
    """Notify all stewards of steps that nobody can complete, in one message."""
    count = len(step_ids)
    named = ", ".join(step_ids[:3])
    what = f"{count} open decision step{'' if count == 1 else 's'} ({named}{', …' if count > 3 else ''})"
    notify_stewards("steps_stuck", what, ctx=ctx)


def sweep_context(tenant_id: uuid.UUID) -> ActingContext:
    """Return the system's context in a tenant."""
    slug = Tenant.objects.values_list("slug", flat=True).get(id=tenant_id)
    return system_context(tenant_id=tenant_id, tenant_slug=slug, correlation_id=uuid.uuid4().hex)
