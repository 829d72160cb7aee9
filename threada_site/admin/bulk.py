"""Actions on several rows of a list: first a page that shows them, then each in its own unit of work.

Every row is answered separately: a refusal leaves its receipt and does not stop the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from threada_site.admin.actions import ActionSpec, Call, Done, carry_out, sentences
from threada_site.admin.confirmation import REASON
from threada_site.admin.list_order import SORT
from threada_site.admin.lists import ListPage, list_page
from threada_site.admin.model_admin import TenantAdmin, context_of
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError

MOST_AT_ONCE: Final = 200
ROW: Final = "row"

if TYPE_CHECKING:
    _Base = TenantAdmin
else:
    _Base = object


@dataclass(frozen=True, slots=True)
class BulkAction:
    """Button of a row that can be pressed for several. `name` is the method of the page.

    `person_label`: label of the field `to`, if the action takes a person.
    """

    name: str
    title: Any
    takes_reason: bool = False
    person_label: Any = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Outcome of one row."""

    key: str
    label: Any
    url: str
    is_done: bool
    text: str


class BulkActions(_Base):
    """Adds checkboxes and buttons to a list."""

    bulk_actions: ClassVar[tuple[BulkAction, ...]] = ()

    def get_urls(self) -> list[URLPattern]:
        return [path("bulk/", self._own(require_POST(self.bulk_view)), name=self._bulk_name), *super().get_urls()]

    @property
    def _bulk_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_bulk"

    def list_context(self, page: ListPage, *, ctx: ActingContext) -> dict[str, Any]:
        allowed = [one for one in self.bulk_actions if self._may(one, ctx)]
        further = {
            "bulk_url": reverse(f"admin:{self._bulk_name}") if allowed and page.rows else "",
            "bulk_actions": allowed,
            "bulk_most": MOST_AT_ONCE,
        }
        return {**super().list_context(page, ctx=ctx), **further}

    def bulk_view(self, request: HttpRequest) -> HttpResponse:
        """Show the chosen rows, or carry out the action on each of them."""
        ctx = context_of(request)
        wanted = request.POST.get("do", "")
        bulk = next((one for one in self.bulk_actions if one.name == wanted), None)
        if bulk is None:
            raise Http404("There is no such action.")
        if not self._may(bulk, ctx):
            raise PermissionDenied
        with unit_of_work(ctx.tenant_id, actor=ctx):
            rows, is_cut = self._chosen(request, ctx)
            shown = [(self.key_of(row), self.bulk_label(row), self.url_of(row)) for row in rows]
            frame = self.admin_site.each_context(request)
            is_confirmed = request.POST.get("confirmed") == "true"
            people = self.bulk_people(bulk, ctx) if bulk.person_label and not is_confirmed else []
        answers = []
        if is_confirmed:
            answers = [self._answer(request, bulk, *one) for one in shown]
        context = {
            **frame,
            "title": str(bulk.title),
            "bulk": bulk,
            "rows": shown,
            "answers": answers,
            "done": sum(answer.is_done for answer in answers),
            "is_cut": is_cut,
            "most": MOST_AT_ONCE,
            "people": people,
            "reason_field": REASON,
            **self.bulk_origin(request),
            "form_url": reverse(f"admin:{self._bulk_name}"),
        }
        return TemplateResponse(request, "console/bulk.html", context)

    def bulk_label(self, row: Any) -> Any:
        """Return the text of a row on the page of the action."""
        return self.columns[0].value(row)

    def bulk_origin(self, request: HttpRequest) -> dict[str, Any]:
        """Return title and URL of the list that the rows were chosen on."""
        return {"list_title": self.list_title, "list_url": self.list_url()}

    def bulk_people(self, bulk: BulkAction, ctx: ActingContext) -> list[str]:
        """Return the names that the field of the action suggests."""
        return []

    def _chosen(self, request: HttpRequest, ctx: ActingContext) -> tuple[list[Any], bool]:
        """Return the chosen rows, and True if more match than one request may change."""
        rows = self.get_queryset(request)
        if request.POST.get("all") == "true":
            query = request.POST.copy()
            query.pop(SORT, None)
            page = list_page(
                rows,
                query,
                ctx=ctx,
                filters=self.filters,
                filterset=self.filterset,
                search=partial(self.searched, ctx=ctx),
                key=self.key,
                finder=self.finder(query, ctx=ctx),
                most=MOST_AT_ONCE,
            )
            return page.rows, bool(page.older)
        sent = dict.fromkeys(request.POST.getlist(ROW))
        keys = [key[:160].partition(":")[0] for key in sent]
        parsed = [found for key in keys if (found := ids.parse_public_id(self.id_prefix, key)) is not None]
        return list(rows.filter(id__in=parsed[:MOST_AT_ONCE]).order_by("-id")), len(parsed) > MOST_AT_ONCE

    def _answer(self, request: HttpRequest, bulk: BulkAction, key: str, label: Any, url: str) -> Answer:
        spec = self._spec(bulk)
        call = Call(request, context_of(request), key)
        try:
            outcome = carry_out(call, spec.scope, getattr(self, bulk.name), step_up=spec.step_up)
        except Http404 as missing:
            return Answer(key, label, url, is_done=False, text=str(missing))
        except ThreadaError as failure:  # of the instance; what was done to other rows stays done
            outcome = failure
        if isinstance(outcome, Done):
            return Answer(key, label, url, is_done=True, text=str(outcome.message) or _("Done."))
        return Answer(key, label, url, is_done=False, text=" ".join(sentences(outcome)))

    def _may(self, bulk: BulkAction, ctx: ActingContext) -> bool:
        scope = self._spec(bulk).scope
        return scope is None or ctx.has_scope_anywhere(scope)

    def _spec(self, bulk: BulkAction) -> ActionSpec:
        spec: ActionSpec = getattr(self, bulk.name).action_spec
        return spec
