"""Part of operators: failing integrations, unknown outcomes, freezes, and the age of the queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations import selectors as integration_selectors
from integrations.lifecycle import ExecutionStatus
from integrations.models import Freeze, IntegrationGauge
from threada_site.admin import html
from threada_site.console.dashboards.parts import LISTED, DashboardMetric, Line, Part, metric
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, Scope
from workitems import selectors
from workitems.executions.queue_age import oldest_due

_OPERATES = (Scope.ACTIONS_FREEZE, Scope.INTEGRATIONS_MANAGE)


def operator_counts(ctx: ActingContext) -> dict[str, QuerySet[Any]]:
    """Return the rows that the part counts; none for those who operate nothing."""
    if not _operates(ctx):
        return {}
    runs = selectors.executions(ctx)
    return {
        "unknown": runs.filter(status=ExecutionStatus.OUTCOME_UNKNOWN),
        "blocked": runs.filter(status=ExecutionStatus.STARTED, blocked_by_freeze__isnull=False).order_by(
            "blocked_by_freeze_id", "id"
        ),
        "running": runs.filter(status=ExecutionStatus.RUNNING),
    }


def operator_part(ctx: ActingContext, counted: Mapping[str, int], freezes: list[Freeze]) -> Part | None:
    """Return the part, or None for those who operate nothing. `freezes` are those in force. Runs two statements."""
    if not _operates(ctx):
        return None
    failing = _failing(ctx)
    executions = html.list_url("integrations.execution")
    frozen_url = f"{html.list_url('integrations.freeze')}?in_force=true"
    return Part(
        key="operator",
        title=_("Operations"),
        metrics=(
            metric(_("outcome unknown"), counted["unknown"], f"{executions}?status=outcome_unknown", is_bad=True),
            metric(_("freezes in force"), len(freezes), frozen_url, is_bad=True),
            metric(_("blocked by freeze"), counted["blocked"], f"{executions}?status=started", is_bad=True),
            metric(_("running"), counted["running"], f"{executions}?status=running"),
            DashboardMetric(_("oldest queued"), _queue_age(ctx), f"{executions}?status=started"),
        ),
        lines=tuple(map(_line, failing)),
        nothing=_("No integration is failing."),
        more=_("Operations"),
        more_url=reverse("admin:integrations_execution_operations"),
    )


def _operates(ctx: ActingContext) -> bool:
    return any(ctx.has_scope_anywhere(scope) for scope in _OPERATES)


def _failing(ctx: ActingContext) -> list[IntegrationGauge]:
    """Return the gauges of integrations whose last call failed or whose breaker is open."""
    known = integration_selectors.configured_integrations(ctx)
    rows = IntegrationGauge.objects.filter(Q(failures__gt=0) | Q(opened_at__isnull=False), tenant_id=ctx.tenant_id)
    readable = rows.filter(integration_id__in=known.order_by().values("id"))
    return list(readable.select_related("integration").order_by("-failures", "id")[:LISTED])


def _line(gauge: IntegrationGauge) -> Line:
    said = ngettext("%(count)d failure in a row", "%(count)d failures in a row", gauge.failures)
    remark: str = said % {"count": gauge.failures}
    if gauge.open_until and gauge.open_until > clock.now():
        remark = format_html("{} · {} {}", remark, _("next call after"), html.when(gauge.open_until))
    state = "failing" if gauge.opened_at is None else "resting"
    slug = gauge.integration.slug
    return Line(slug, html.page_url("integrations.integration", slug), html.badge(state), remark)


def _queue_age(ctx: ActingContext) -> str:
    """Return how long the oldest execution has been due."""
    since = oldest_due(ctx, now=clock.now())
    return html.left(since).removesuffix(" ago") if since is not None else _("empty")
