"""Saved and shared views of lists: a name for filters, search, columns and order."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _

from integrations.models import Execution
from telemetry.models import Receipt
from threada_site.admin.actions import ActionSpec, Call, Done, press
from threada_site.admin.lists import Column, ListFilter, ListPage, kept_in
from threada_site.admin.model_admin import add_list_context, context_of
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from workitems import selectors
from workitems.desk.models import NAME_LENGTH
from workitems.desk.saved_views import delete_view_of_page, may_delete, may_share, save_view
from workitems.models import SavedView, WorkItem

_LISTS: Final[dict[str, type[Any]]] = {"queue": WorkItem, "executions": Execution, "receipts": Receipt}
_PAGES: Final = {model: page for page, model in _LISTS.items()}


class Listed(Protocol):
    """List that has saved views: the page of a model, or the desk."""

    scope: ClassVar[Scope]
    filters: ClassVar[tuple[ListFilter, ...]]
    columns: ClassVar[tuple[Column, ...]]

    def list_url(self) -> str: ...


_others: Final[dict[str, Listed]] = {}


@dataclass(frozen=True, slots=True)
class ListView:
    """Saved view as a list shows it."""

    key: str
    name: str
    query: str
    is_shown: bool
    is_shared: bool
    may_delete: bool


def list_views(model: type[Any], page: ListPage, ctx: ActingContext) -> dict[str, Any]:
    """Return the template context of the saved views of a list."""
    name = _PAGES[model]
    return {"views": views_of(name, page, ctx, selectors.views_of_page(ctx, name))}


for _model in _PAGES:
    add_list_context(_model, list_views)


def register_list(name: str, listed: Listed) -> None:
    """Add a list that is not that of a model."""
    _others[name] = listed


def views_of(name: str, page: ListPage, ctx: ActingContext, views: Iterable[SavedView]) -> dict[str, Any]:
    """Return the saved views of a list for its template."""
    return {
        "saved": [
            ListView(
                key=str(view.id),
                name=view.name,
                query=_query(view.filters),
                is_shown=view.filters == page.kept,
                is_shared=view.is_shared,
                may_delete=may_delete(view, ctx=ctx),
            )
            for view in views
        ],
        "save_url": reverse("admin:workitems_workitem_save_list_view", args=[name]),
        "delete_url": reverse("admin:workitems_workitem_delete_list_view", args=[name]),
        "may_share": may_share(ctx),
        "name_length": NAME_LENGTH,
    }


def save_list_view(request: HttpRequest, page: str) -> HttpResponse:
    """Save the parameters of the form that make up a list. A refusal leads back to it."""
    listed = _list_of(page)
    kept = kept_in(request.POST, listed.filters, listed.columns)

    def save(call: Call) -> Done:
        is_shared = call.sent("is_shared") == "true"
        view = save_view(call.sent("view_name"), kept, ctx=call.ctx, page=page, is_shared=is_shared)
        return Done(_("View saved as “{name}”.").format(name=view.name))

    spec = ActionSpec("save-list-view", listed.scope)
    back = listed.list_url() + _query(kept)
    return press(Call(request, context_of(request), ""), spec, save, back=back)


def delete_list_view(request: HttpRequest, page: str) -> HttpResponse:
    listed = _list_of(page)

    def delete(call: Call) -> Done:
        try:
            view_id = uuid.UUID(call.sent("view"))
        except ValueError:
            raise errors.NotFound("There is no such view.") from None
        delete_view_of_page(view_id, ctx=call.ctx)
        return Done(_("The view is deleted."))

    spec = ActionSpec("delete-list-view", listed.scope)
    return press(Call(request, context_of(request), ""), spec, delete, back=listed.list_url())


def _list_of(page: str) -> Listed:
    if page in _others:
        return _others[page]
    if page not in _LISTS:
        raise Http404("There is no such list.")
    found: Any = admin.site.get_model_admin(_LISTS[page])
    return found  # type: ignore[no-any-return]


def _query(kept: dict[str, str]) -> str:
    parameters = QueryDict(mutable=True)
    parameters.update(kept)
    return f"?{parameters.urlencode()}"
