"""Console page of decision statistics per approver, with an explanation of their limits."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from threada_site.admin.lists import ShownFilter
from threada_site.admin.model_admin import TenantAdmin, context_of
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from workitems.admin.filters import workflow_choices
from workitems.desk.decision_statistics import (
    MAX_APPROVERS,
    MIN_DECISIONS,
    ApproverStatistics,
    decision_statistics,
    may_see,
)

PERIODS: Final = [("7", gettext_lazy("7 days")), ("31", gettext_lazy("31 days")), ("90", gettext_lazy("90 days"))]
TOO_FEW: Final = gettext_lazy("too few")


if TYPE_CHECKING:
    _Base = TenantAdmin
else:
    _Base = object


class DecisionStatisticsPages(_Base):
    """Console page of decision statistics; it belongs to no row."""

    def get_urls(self) -> list[URLPattern]:
        name = "workitems_decisionstep_decision_statistics"
        return [
            path("attention/", self._wrap(require_safe(self.decision_statistics_view)), name=name),
            *super().get_urls(),
        ]

    def decision_statistics_view(self, request: HttpRequest) -> HttpResponse:
        ctx = context_of(request)
        if not may_see(ctx):
            raise PermissionDenied
        frame = {**self.admin_site.each_context(request), "title": _("Decision statistics")}
        return TemplateResponse(
            request, "workitems/decision_statistics.html", {**frame, **decision_statistics_page(request, ctx=ctx)}
        )


def decision_statistics_page(request: HttpRequest, *, ctx: ActingContext) -> dict[str, Any]:
    """Return the template context. Unknown periods and workflows in the query are ignored."""
    workflows = workflow_choices(ctx)
    days = request.GET.get("days", "")
    days = days if days in dict(PERIODS) else "31"
    workflow = request.GET.get("workflow_id", "")
    workflow = workflow if workflow in dict(workflows) else ""
    approvers = decision_statistics(ctx, since=clock.now() - timedelta(days=int(days)), workflow=workflow)
    return {
        "days": days,
        "periods": PERIODS,
        "filters": [ShownFilter("workflow_id", _("Workflow"), "select", workflow, workflows)],
        "approvers": [_row(approver) for approver in approvers],
        "min_decisions": MIN_DECISIONS,
        "is_cut": len(approvers) == MAX_APPROVERS,
    }


def _row(approver: ApproverStatistics) -> dict[str, Any]:
    rate, seconds = approver.approval_rate, approver.median_seconds
    return {
        "approver": approver.approver,
        "decisions": approver.decisions,
        "rate": TOO_FEW if rate is None else f"{rate:.0%}",
        "seconds": TOO_FEW if seconds is None else f"{seconds:,.0f}",
        "not_opened": approver.not_opened,
    }
