"""Part of approvers: decisions that wait for the reader, and overdue ones."""

from __future__ import annotations

from typing import Any, Final

from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from threada_site.admin import html
from threada_site.console.dashboards.parts import CAP, LISTED, DashboardMetric, Line, Part, metric, shown
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, Scope
from workitems import selectors
from workitems.items.questions import question_of
from workitems.items.titles import listed_title
from workitems.models import NEVER, DecisionStep

_DAY_S: Final = 24 * 3600


def approver_part(ctx: ActingContext) -> Part | None:
    """Return the part, or None for those who decide nothing. Runs four statements, one more under delegations."""
    if not ctx.has_scope_anywhere(Scope.DECISIONS_DECIDE):
        return None
    desk = reverse("admin:workitems_decisionstep_desk")
    waiting = selectors.steps_pending_for(ctx, selectors.decision_steps(ctx)).order_by("urgent_at", "id")
    due = list(waiting.values_list("id", "urgent_at")[: CAP + 1])
    urgent = [step_id for step_id, _due in due[:LISTED]]
    rows = DecisionStep.objects.filter(tenant_id=ctx.tenant_id, id__in=urgent).select_related("execution", "work_item")
    steps = rows.defer("rule", "work_item__payload", "work_item__payload_salt").order_by("urgent_at", "id")
    now = clock.now()
    overdue = sum(due_at <= now for _step, due_at in due)
    today = sum(now < due_at and (due_at - now).total_seconds() <= _DAY_S for _step, due_at in due)
    return Part(
        key="approver",
        title=_("Your pending decisions"),
        metrics=(
            metric(_("waiting for you"), len(due), desk),
            metric(_("overdue"), overdue, f"{desk}?due=overdue", is_bad=True),
            DashboardMetric(_("due within a day"), shown(today), f"{desk}?due=day"),
        ),
        lines=tuple(_line(step, now) for step in steps) if urgent else (),
        nothing=_("No decisions are pending for you."),
        more=_("Decision desk"),
        more_url=desk,
    )


def _line(step: DecisionStep, now: Any) -> Line:
    return Line(
        text=listed_title(step.work_item),
        url=html.page_url("workitems.decisionstep", step.public_id),
        badge=html.badge("overdue" if step.urgent_at <= now and step.paused_at is None else ""),
        remark=_remark(step),
    )


def _remark(step: DecisionStep) -> Any:
    opened = format_html("{} · {} {}", question_of(step), _("opened"), html.left(step.opened_at))
    if step.paused_at is not None:
        return format_html("{} · {}", opened, _("deadlines are paused"))
    if step.urgent_at >= NEVER:
        return opened
    return format_html("{} · {} {}", opened, _("decide until"), html.when(step.urgent_at))
