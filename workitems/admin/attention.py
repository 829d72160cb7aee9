"""The page on how people decide: figures by person and time, with what they can and cannot tell."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from threada_site.admin.lists import ShownFilter
from threada_site.admin.model_admin import TenantAdmin, context_of
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from workitems.admin.filters import workflow_choices
from workitems.desk.attention import FEWEST, MOST_PEOPLE, Attention, attention_of_people, may_see

PERIODS: Final = [("7", "7 days"), ("31", "31 days"), ("90", "90 days")]
TOO_FEW: Final = "too few"


if TYPE_CHECKING:
    _Base = TenantAdmin
else:
    _Base = object


class AttentionPages(_Base):
    """One page, of no row."""

    def get_urls(self) -> list[URLPattern]:
        name = "workitems_decisionstep_attention"
        return [path("attention/", self._wrap(require_safe(self.attention_view)), name=name), *super().get_urls()]

    def attention_view(self, request: HttpRequest) -> HttpResponse:
        ctx = context_of(request)
        if not may_see(ctx):
            raise PermissionDenied
        frame = {**self.admin_site.each_context(request), "title": "How people decide"}
        return TemplateResponse(request, "workitems/attention.html", {**frame, **attention_page(request, ctx=ctx)})


def attention_page(request: HttpRequest, *, ctx: ActingContext) -> dict[str, Any]:
    """What it shows. Periods and workflows that do not exist are ignored."""
    workflows = workflow_choices(ctx)
    days = request.GET.get("days", "")
    days = days if days in dict(PERIODS) else "31"
    workflow = request.GET.get("workflow_id", "")
    workflow = workflow if workflow in dict(workflows) else ""
    people = attention_of_people(ctx, since=clock.now() - timedelta(days=int(days)), workflow=workflow)
    return {
        "days": days,
        "periods": PERIODS,
        "filters": [ShownFilter("workflow_id", "Workflow", "select", workflow, workflows)],
        "people": [_row(person) for person in people],
        "fewest": FEWEST,
        "is_cut": len(people) == MOST_PEOPLE,
    }


def _row(person: Attention) -> dict[str, Any]:
    rate, seconds = person.approval_rate, person.median_seconds
    return {
        "person": person.person,
        "decisions": person.decisions,
        "rate": TOO_FEW if rate is None else f"{rate:.0%}",
        "seconds": TOO_FEW if seconds is None else f"{seconds:,.0f}",
        "not_shown": person.not_shown,
    }
