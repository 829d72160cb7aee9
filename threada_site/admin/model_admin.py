"""The base of every model's pages: permissions come from the ActingContext, rows from tenant-scoped selectors.

There is no second way in: Django's own add, change, delete and history pages do not exist, so no state can be edited;
what changes anything is a button or a form that calls a service.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, ClassVar

import django_filters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST, require_safe
from unfold.admin import ModelAdmin

from threada_site.admin.actions import OWN_UNIT_OF_WORK, ActionSpec, Call, Done, press
from threada_site.admin.edits import edits_of
from threada_site.admin.forms import FORM_SPEC, FormSpec, form_view
from threada_site.admin.lists import Column, ListFilter, by_start_of, list_page
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Scope


class TenantAdmin(ModelAdmin):
    """Pages over the rows of one tenant table. Subclasses say what they are; this says how they are shown."""

    scope: ClassVar[Scope] = Scope.WORKITEMS_READ
    id_prefix: ClassVar[str] = ""
    """The prefix of public ids in addresses; without one, rows are named by `slug`."""
    key: ClassVar[str] = "slug"
    """What lists are ordered by: a unique column, or `-id`."""
    columns: ClassVar[tuple[Column, ...]] = ()
    filters: ClassVar[tuple[ListFilter, ...]] = ()
    filterset: ClassVar[type[django_filters.FilterSet] | None] = None
    search_hint: ClassVar[str] = ""
    heading: ClassVar[str] = ""
    """What the list is called; the model's name unless said."""
    about: ClassVar[str] = ""
    nothing_yet: ClassVar[str] = "There is nothing here yet."
    page_template: ClassVar[str] = ""
    shows_edits: ClassVar[bool] = False

    # What subclasses fill in

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        """The rows this context may read, by a selector."""
        raise NotImplementedError

    def page(self, row: Any, *, ctx: ActingContext) -> dict[str, Any]:
        """What the page of one row shows."""
        return {}

    def page_asked(self, row: Any, query: QueryDict, *, ctx: ActingContext) -> dict[str, Any]:
        """The same for pages that can be asked for more than one way, by their query."""
        return self.page(row, ctx=ctx)

    def notices(self, ctx: ActingContext) -> list[SafeString]:
        """What the list says above everything else, as HTML."""
        return []

    def page_title(self, row: Any) -> str:
        return f"{self.opts.verbose_name} {row}"

    def search(self, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Rows that the search box means."""
        if not self.id_prefix:
            return by_start_of("slug")(rows, text)
        parsed = ids.parse_public_id(self.id_prefix, text)
        return rows.filter(id=parsed) if parsed else rows.none()

    # Rights: never user.has_perm, since permissions of Django know no tenant

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        ctx: ActingContext | None = getattr(request, "acting_context", None)
        return ctx is not None and ctx.has_scope_anywhere(self.scope)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.rows(context_of(request))

    def key_of(self, row: Any) -> str:
        """What names a row in addresses."""
        return str(row.public_id if self.id_prefix else row.slug)

    def find(self, key: str, *, ctx: ActingContext) -> Any:
        """The row an address names. Raises `Http404`, for another tenant's as for none."""
        parsed: Any = ids.parse_public_id(self.id_prefix, key) if self.id_prefix else key if ids.is_slug(key) else None
        row = self.rows(ctx).filter(**{"id" if self.id_prefix else "slug": parsed}).first() if parsed else None
        if row is None:
            raise Http404(f"There is no {self.opts.verbose_name} {key[:80]} here.")
        return row

    # Addresses

    def get_urls(self) -> list[URLPattern]:
        """The list, the page of a row, its buttons and forms. The names of the first two are Django's."""
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        found = [path("", self._wrap(require_safe(self.list_view)), name=f"{name}_changelist")]
        for method in self._marked(FORM_SPEC):
            form: FormSpec = getattr(method, FORM_SPEC)
            route = f"<str:key>/{form.slug}/" if form.of_row else f"{form.slug}/"
            view = update_wrapper(form_view(self, form, method), method)
            found.append(path(route, self._own(view), name=f"{name}_{form.slug.replace('-', '_')}"))
        for method in self._marked("action_spec"):
            spec: ActionSpec = method.action_spec
            found.append(
                path(
                    f"<str:key>/{spec.slug}/",
                    self._own(self._button(spec, method)),
                    name=f"{name}_{spec.slug.replace('-', '_')}",
                )
            )
        return [*found, path("<str:key>/change/", self._wrap(require_safe(self.row_view)), name=f"{name}_change")]

    def url_of(self, row: Any) -> str:
        """The address of a row's page."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[self.key_of(row)])

    @property
    def list_title(self) -> str:
        return self.heading or str(self.opts.verbose_name_plural)

    def list_url(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    # Views

    def list_view(self, request: HttpRequest) -> HttpResponse:
        ctx = self._require_view(request)
        page = list_page(
            self.get_queryset(request),
            request.GET,
            ctx=ctx,
            filters=self.filters,
            filterset=self.filterset,
            search=self.search,
            key=self.key,
        )
        context = {
            **self.admin_site.each_context(request),
            "title": self.list_title,
            "page": page,
            "about": self.about,
            "notices": self.notices(ctx),
            "nothing_yet": self.nothing_yet,
            "search_hint": self.search_hint or (f"{self.id_prefix}_…" if self.id_prefix else "id begins with"),
            "columns": self.columns,
            "rows": [(self.url_of(row), [(column, column.value(row)) for column in self.columns]) for row in page.rows],
            "forms": self._forms(ctx, of_row=False),
        }
        return TemplateResponse(request, "console/list.html", context)

    def row_view(self, request: HttpRequest, key: str) -> HttpResponse:
        ctx = self._require_view(request)
        row = self.find(key, ctx=ctx)
        context = {
            **self.admin_site.each_context(request),
            "title": self.page_title(row),
            "opts": None,
            "noun": self.opts.verbose_name,
            "list_title": self.list_title,
            "list_url": self.list_url(),
            "row": row,
            "key": self.key_of(row),
            "ctx": ctx,
            "forms": self._forms(ctx, of_row=True, key=self.key_of(row)),
            "edits": edits_of(row, ctx=ctx) if self.shows_edits else None,
            **self.page_asked(row, request.GET, ctx=ctx),
        }
        return TemplateResponse(request, self.page_template or "console/page.html", context)

    def _button(self, spec: ActionSpec, method: Callable[[Call], Done]) -> Callable[..., HttpResponseBase]:
        @require_POST
        def view(request: HttpRequest, key: str) -> HttpResponse:
            name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
            call = Call(request, context_of(request), key)
            return press(call, spec, method, back=reverse(name, args=[key]))

        return view

    def _require_view(self, request: HttpRequest) -> ActingContext:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return context_of(request)

    def _forms(self, ctx: ActingContext, *, of_row: bool, key: str = "") -> list[tuple[str, str]]:
        """Address and title of the forms that this context may open."""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}"
        return [
            (reverse(f"{name}_{spec.slug.replace('-', '_')}", args=[key] if of_row else []), spec.title)
            for spec in (getattr(method, FORM_SPEC) for method in self._marked(FORM_SPEC))
            if spec.of_row == of_row and (spec.scope is None or ctx.has_scope_anywhere(spec.scope))
        ]

    def _marked(self, attribute: str) -> list[Any]:
        found = [getattr(self, name) for name in dir(type(self)) if hasattr(getattr(type(self), name, None), attribute)]
        return sorted(found, key=lambda method: method.__func__.__code__.co_firstlineno)

    def _wrap(self, view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        def wrapper(*args: Any, **kwargs: Any) -> HttpResponseBase:
            return self.admin_site.admin_view(view)(*args, **kwargs)

        wrapper.model_admin = self  # type: ignore[attr-defined]
        return update_wrapper(wrapper, view)

    def _own(self, view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        """As `_wrap`, for a view that opens its unit of work itself."""
        wrapped = self._wrap(view)
        setattr(wrapped, OWN_UNIT_OF_WORK, True)
        return wrapped


def context_of(request: HttpRequest) -> ActingContext:
    """Who acts: set by the console's middleware before any page is shown."""
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    return ctx


__all__ = ["TenantAdmin", "context_of"]
