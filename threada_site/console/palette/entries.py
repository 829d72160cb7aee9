"""Entries of the command palette: what a person may open, limited to what matches a text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from threada_site.admin.html import page_url
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.words import word
from threada_site.console.navigation import groups
from threada_site.console.public_id_urls import url_for_public_id
from threada_site.kernel.context import ActingContext, Scope
from workitems import selectors
from workitems.items.sensitive import is_sensitive
from workitems.items.titles import listed_title
from workitems.models import WorkItem
from workitems.search.find import search_items
from workitems.search.words import words_in

MOST_ITEMS: Final = 8
MOST_PAGES: Final = 6
_SHORTEST: Final = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """A link with an icon. `detail` is secondary text."""

    title: str
    url: str
    icon: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    entries: list[Entry]


def sections(request: HttpRequest, text: str, *, most_items: int = MOST_ITEMS) -> list[Section]:
    """Return the sections that match `text`. Raise `InvalidRequest` and `SearchTooSlow`, as the search does."""
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    wanted = words_in(text)
    found = [
        Section(_("Go to"), list(_by_id(text))),
        Section(_("Work items"), _items(text, most_items, ctx)),
        Section(_("Pages"), _matching(_pages(request), wanted)),
        Section(_("Actions"), _matching(_actions(request), wanted)),
    ]
    return [section for section in found if section.entries]


def _by_id(text: str) -> Iterator[Entry]:
    url = url_for_public_id(text)
    if url is not None:
        yield Entry(text, url, "arrow_forward", _("open by id"))


def _items(text: str, most: int, ctx: ActingContext) -> list[Entry]:
    if len(text) < _SHORTEST or not ctx.has_scope_anywhere(Scope.WORKITEMS_READ):
        return []
    found = search_items(text, ctx=ctx)
    if not found:
        return []
    rows = selectors.work_items(ctx).filter(id__in=found).defer("payload", "payload_salt").order_by("-id")[:most]
    return [_item(row) for row in rows]


def _item(row: WorkItem) -> Entry:
    reference = "" if is_sensitive(row.data_class) else row.external_ref
    detail = " · ".join(filter(None, [word(row.status), reference, row.public_id]))
    return Entry(listed_title(row), page_url("workitems.workitem", row.public_id), "inbox", detail)


def _pages(request: HttpRequest) -> Iterator[Entry]:
    for group in groups(request):
        for item in group["items"]:
            yield Entry(str(item["title"]), str(item["link"]), str(item["icon"]), str(group["title"] or ""))


def _actions(request: HttpRequest) -> Iterator[Entry]:
    """Yield the forms that belong to no row, of every list that the person may see."""
    ctx: Any = request.acting_context  # type: ignore[attr-defined]
    for model in filter(admin.site.is_registered, apps.get_models()):
        model_admin: Any = admin.site.get_model_admin(model)
        if isinstance(model_admin, TenantAdmin) and model_admin.has_view_permission(request):
            for url, title in model_admin.list_forms(ctx):
                yield Entry(capfirst(str(title)), url, "bolt", capfirst(str(model_admin.list_title)))
    yield Entry(_("Change the time zone"), reverse("admin:time_zone"), "schedule")
    yield Entry(_("Change notifications"), reverse("admin:notifications"), "notifications")


def _matching(entries: Iterator[Entry], wanted: list[str]) -> list[Entry]:
    """Return the entries of which each wanted word begins a word; all of them, if nothing is wanted."""
    found = []
    for entry in entries:
        its_words = words_in(f"{entry.title} {entry.detail}")
        if all(any(its.startswith(one) for its in its_words) for one in wanted):
            found.append(entry)
    return sorted(found, key=lambda entry: not _is_in_title(entry, wanted))[:MOST_PAGES]


def _is_in_title(entry: Entry, wanted: list[str]) -> bool:
    return not wanted or any(its.startswith(wanted[0]) for its in words_in(entry.title))
