"""Base of all model pages: permissions come from the acting context, rows from tenant-scoped selectors.

Django's own pages for add, change, delete and history do not exist. Buttons and forms that call services are the only
way to change anything.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any, ClassVar, Final

import django_filters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, re_path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe
from django.views.generic import RedirectView
from unfold.admin import ModelAdmin

from threada_site.admin.actions import OWN_UNIT_OF_WORK, ActionSpec, Call, Done, is_step_up_due, press, step_up_first
from threada_site.admin.confirmation import confirmation_page, is_confirmed, with_reason
from threada_site.admin.edits import edits_of
from threada_site.admin.forms import FORM_SPEC, FormSpec, form_view
from threada_site.admin.lists import Column, ListFilter, ListPage, ShownRow, by_start_of, list_page
from threada_site.admin.words import Text, word
from threada_site.api.pagination import Search
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Scope

type ListContext = Callable[[type[Any], ListPage, ActingContext], dict[str, Any]]

_further: Final[defaultdict[type[Any], list[ListContext]]] = defaultdict(list)


def add_list_context(model: type[Any], source: ListContext) -> None:
    """Add context to the list of a model of a lower layer, for example saved views."""
    _further[model].append(source)


class TenantAdmin(ModelAdmin):
    """Pages over the rows of one tenant table. Subclasses declare the contents; this class renders them."""

    scope: ClassVar[Scope] = Scope.WORKITEMS_READ
    id_prefix: ClassVar[str] = ""
    """Prefix of the public ids in URLs; if empty, URLs contain the slug."""
    key: ClassVar[str] = "slug"
    """Order of lists: a unique column, or `-id`."""
    columns: ClassVar[tuple[Column, ...]] = ()
    filters: ClassVar[tuple[ListFilter, ...]] = ()
    filterset: ClassVar[type[django_filters.FilterSet] | None] = None
    search_hint: ClassVar[Text] = ""
    heading: ClassVar[Text] = ""
    """Title of the list; default: the model's name."""
    about: ClassVar[Text] = ""
    nothing_yet: ClassVar[Text] = gettext_lazy("There is nothing here yet.")
    page_template: ClassVar[str] = ""
    shows_edits: ClassVar[bool] = False

    # Hooks for subclasses

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        """Return the rows that the context may read, by a selector."""
        raise NotImplementedError

    def page(self, row: Any, *, ctx: ActingContext) -> dict[str, Any]:
        """Return the context of a row's page."""
        return {}

    def page_asked(self, row: Any, query: QueryDict, *, ctx: ActingContext) -> dict[str, Any]:
        """Return the context of a row's page that depends on the query string."""
        return self.page(row, ctx=ctx)

    def notices(self, ctx: ActingContext) -> list[SafeString]:
        """Return notices above the list, as HTML."""
        return []

    def page_title(self, row: Any) -> str:
        return f"{word(self.opts.verbose_name)} {row}"

    def search(self, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        """Return the rows that match the search box."""
        if not self.id_prefix:
            return by_start_of("slug")(rows, text)
        parsed = ids.parse_public_id(self.id_prefix, text)
        return rows.filter(id=parsed) if parsed else rows.none()

    def searched(self, rows: QuerySet[Any], text: str, *, ctx: ActingContext) -> QuerySet[Any]:
        """Return the rows that match the search box, for searches that need the context."""
        return self.search(rows, text)

    def finder(self, query: QueryDict, *, ctx: ActingContext) -> Callable[[str], Search] | None:
        """Return the search of a text by ids, newest first; None if `searched` narrows the rows."""
        return None

    def complete(self, rows: list[Any], *, ctx: ActingContext) -> None:
        """Add to the rows of a list what its columns show of other tables, in a constant number of statements."""

    def list_context(self, page: ListPage, *, ctx: ActingContext) -> dict[str, Any]:
        """Return further context of the list: saved views, downloads, actions on several rows."""
        return {}

    # Permissions: never user.has_perm, because Django's permissions have no tenant

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
        """Return the key of a row in URLs."""
        return str(row.public_id if self.id_prefix else row.slug)

    def find(self, key: str, *, ctx: ActingContext) -> Any:
        """Return the row with this key. Raise `Http404`, also for rows of other tenants."""
        parsed: Any = ids.parse_public_id(self.id_prefix, key) if self.id_prefix else key if ids.is_slug(key) else None
        row = self.rows(ctx).filter(**{"id" if self.id_prefix else "slug": parsed}).first() if parsed else None
        if row is None:
            raise Http404(f"There is no {self.opts.verbose_name} {key[:80]} in this tenant.")
        return row

    # URLs

    def get_urls(self) -> list[URLPattern]:
        """Return the URLs of the list, buttons and forms."""
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
        return found

    @property
    def urls(self) -> list[URLPattern]:
        """Return the URLs of `get_urls` with those of row pages, which have no suffix.

        A row named like a page of the list, such as `new`, has its page at `new/page/`. `change/` is an old address.
        """
        found = self.get_urls()
        name = f"{self.opts.app_label}_{self.opts.model_name}_change"
        page = self._wrap(require_safe(self.row_view))
        moved = RedirectView.as_view(pattern_name=f"admin:{name}", permanent=True, query_string=True)
        of_list = {str(url.pattern).split("/")[0] for url in found if not str(url.pattern).startswith("<")}
        taken = "|".join(map(re.escape, sorted(of_list - {""})))
        return [
            *found,
            path("<str:key>/change/", moved),
            path("<str:key>/page/", page, name=name),
            re_path(rf"^(?!(?:{taken})/$)(?P<key>[^/]+)/$", page, name=name),
        ]

    def url_of(self, row: Any) -> str:
        """Return the URL of a row's page."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[self.key_of(row)])

    @property
    def list_title(self) -> str:
        return str(self.heading or word(self.opts.verbose_name_plural))

    def list_forms(self, ctx: ActingContext) -> list[tuple[str, str]]:
        """Return URL and title of the forms above the list that the context may open."""
        return self._forms(ctx, of_row=False)

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
            search=partial(self.searched, ctx=ctx),
            key=self.key,
            columns=self.columns,
            finder=self.finder(request.GET, ctx=ctx),
        )
        self.complete(page.rows, ctx=ctx)
        columns = page.columns
        context = {
            **self.admin_site.each_context(request),
            "title": self.list_title,
            "page": page,
            "about": self.about,
            "notices": self.notices(ctx),
            "nothing_yet": self.nothing_yet,
            "search_hint": self.search_hint or (f"{self.id_prefix}_…" if self.id_prefix else _("id begins with")),
            "headers": page.headers,
            "selectable": [(column, column in columns) for column in self.columns[1:] if column.name],
            "sorts": self.key == "-id",
            "rows": [
                ShownRow(self.url_of(row), [(column, column.value(row)) for column in columns], key=self.key_of(row))
                for row in page.rows
            ],
            "forms": self.list_forms(ctx),
            **self.list_context(page, ctx=ctx),
            **{name: value for of in _further[self.model] for name, value in of(self.model, page, ctx).items()},
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
            back = reverse(name, args=[key])
            if spec.confirmation is None:
                return press(call, spec, method, back=back)
            if is_confirmed(call):
                return press(call, spec, with_reason(partial(spec.confirmation.effects, self), method), back=back)
            return self._ask(call, spec, back=back)

        return view

    def _ask(self, call: Call, spec: ActionSpec, *, back: str) -> HttpResponse:
        """Show the page that asks for confirmation, or the refusal of a caller who may not press the button."""
        if spec.scope is not None and not call.ctx.has_scope_anywhere(spec.scope):
            return press(call, spec, lambda _: Done(""), back=back)
        if is_step_up_due(call, spec):
            return step_up_first(call, back=back)
        with unit_of_work(call.ctx.tenant_id, actor=call.ctx):
            self.find(call.key, ctx=call.ctx)
            confirmation = spec.confirmation
            return confirmation_page(self, call, confirmation.title, confirmation.effects(self, call), back=back)

    def _require_view(self, request: HttpRequest) -> ActingContext:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return context_of(request)

    def _forms(self, ctx: ActingContext, *, of_row: bool, key: str = "") -> list[tuple[str, str]]:
        """Return URL and title of the forms that the context may open."""
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
        """Wrap a view that opens its own unit of work."""
        wrapped = self._wrap(view)
        setattr(wrapped, OWN_UNIT_OF_WORK, True)
        return wrapped


def context_of(request: HttpRequest) -> ActingContext:
    """Return the acting context, which the console's middleware has set."""
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    return ctx


__all__ = ["TenantAdmin", "add_list_context", "context_of"]
