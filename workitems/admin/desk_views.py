"""Saved views of the desk: store the current filters under a name, delete a view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from threada_site.admin.actions import ActionSpec, Call, Done, Handler, press
from threada_site.admin.model_admin import TenantAdmin, context_of
from threada_site.kernel.context import Scope
from workitems.admin.desk import filters_in, view_url
from workitems.desk.saved_views import delete_view, save_view

_NAME: Final = "workitems_decisionstep"

if TYPE_CHECKING:
    _Base = TenantAdmin
else:
    _Base = object


class DeskViewPages(_Base):
    """Two buttons of the desk that belong to no row."""

    def get_urls(self) -> list[URLPattern]:
        return [
            path("desk/save-view/", self._own(require_POST(self.save_view_view)), name=f"{_NAME}_save_view"),
            path("desk/delete-view/", self._own(require_POST(self.delete_view_view)), name=f"{_NAME}_delete_view"),
            *super().get_urls(),
        ]

    def save_view_view(self, request: HttpRequest) -> HttpResponse:
        """Save the filters that are set. A refusal leads back to the filtered desk."""
        filters = filters_in(request.POST)

        def save(call: Call) -> Done:
            view = save_view(call.sent("name"), filters, ctx=call.ctx)
            return Done(_("View saved as “{name}”.").format(name=view.name))

        return self._press(request, "save-view", save, back=view_url(filters))

    def delete_view_view(self, request: HttpRequest) -> HttpResponse:
        def delete(call: Call) -> Done:
            delete_view(call.sent("name"), ctx=call.ctx)
            return Done(_("The view is deleted."))

        return self._press(request, "delete-view", delete, back=reverse(f"admin:{_NAME}_desk"))

    def _press(self, request: HttpRequest, slug: str, handler: Handler, *, back: str) -> HttpResponse:
        spec = ActionSpec(slug, Scope.WORKITEMS_READ)
        return press(Call(request, context_of(request), ""), spec, handler, back=back)
