"""Pages of the desk: the list, its download, and the buttons for selected steps."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from telemetry.admin.list_csv import ROWS_PER_READ, csv_most, download
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.background import pulse_of
from threada_site.admin.bulk import ROW, BulkAction, BulkActions
from threada_site.admin.confirmation import REASON
from threada_site.admin.model_admin import TenantAdmin
from threada_site.kernel.context import ActingContext, Scope
from workitems.admin.assignment import ASSIGN, assign_to_sent, people_to_assign
from workitems.admin.batch_page import CHOICE
from workitems.admin.desk.page import desk_page
from workitems.admin.desk.rows import DESK, desk_list
from workitems.admin.permits.pages import in_effect, usage
from workitems.admin.reassignment import locked_step_of
from workitems.steps.batch_limits import MOST_IN_A_BATCH

TITLE: Final = gettext_lazy("Decision desk")
_NAME: Final = "workitems_decisionstep"

if TYPE_CHECKING:
    _Base = TenantAdmin
else:
    _Base = object


class DeskPages(BulkActions, _Base):
    """The desk, and the assignment of several steps, which the list of all steps offers too."""

    bulk_actions: ClassVar[tuple[BulkAction, ...]] = (ASSIGN,)

    def get_urls(self) -> list[URLPattern]:
        return [
            path("desk/", self._wrap(require_safe(self.desk_view)), name=f"{_NAME}_desk"),
            path("desk/csv/", self._own(require_POST(self.desk_csv_view)), name=f"{_NAME}_desk_csv"),
            path("desk/decide/", self._own(require_POST(self.decide_view)), name=f"{_NAME}_decide"),
            *super().get_urls(),
        ]

    def desk_view(self, request: HttpRequest) -> HttpResponse:
        """Show the pending steps of the reader."""
        ctx = self._require_view(request)
        context = {
            **self.admin_site.each_context(request),
            "title": TITLE,
            "pulse": pulse_of("desk"),
            "csv_url": reverse(f"admin:{_NAME}_desk_csv"),
            "csv_most": csv_most(),
            "permits": [(permit, usage(permit)) for permit in in_effect(ctx=ctx)],
            **desk_page(request.GET, ctx=ctx),
        }
        context |= self.list_context(context["page"], ctx=ctx)
        return TemplateResponse(request, "workitems/desk.html", context)

    def desk_csv_view(self, request: HttpRequest) -> HttpResponseBase:
        ctx = self._require_view(request)
        read = partial(desk_list, ctx=ctx, most=ROWS_PER_READ)
        return download("desk", read, request)

    def decide_view(self, request: HttpRequest) -> HttpResponse:
        """Open the page that decides the selected steps together."""
        chosen = [(CHOICE, choice[:160]) for choice in request.POST.getlist(ROW)[: MOST_IN_A_BATCH + 1]]
        return HttpResponseRedirect(f"{reverse(f'admin:{_NAME}_batch')}?{urlencode(chosen)}")

    def bulk_origin(self, request: HttpRequest) -> dict[str, Any]:
        """Return the desk for steps that were selected on it."""
        if request.POST.get("origin") == "desk":
            return {"list_title": TITLE, "list_url": DESK.list_url(), "origin": "desk"}
        return super().bulk_origin(request)

    def bulk_people(self, bulk: BulkAction, ctx: ActingContext) -> list[str]:
        return people_to_assign(ctx)

    @action(Scope.DECISIONS_DECIDE)
    def assign(self, call: Call) -> Done:
        item, step = locked_step_of(call)
        return assign_to_sent(item, step, call, reason=call.sent(REASON))
