"""Lists: documented filters, search by id, keyset pages. One statement per page; rows are never counted."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce
from typing import Any, Final, Literal

import django_filters
from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.translation import gettext as _

from threada_site.admin.words import Text, word
from threada_site.database.case_visibility import keyset_column
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError

PER_PAGE: Final = 50
_OLDER, _NEWER, _SEARCH = "older", "newer", "q"

type Choices = Callable[[ActingContext], list[tuple[str, str]]]


@dataclass(frozen=True)
class Column:
    """Column of a list. `is_wide` columns may wrap; others stay on one line."""

    title: Text
    value: Callable[[Any], Any]
    is_wide: bool = False


@dataclass(frozen=True)
class ListFilter:
    """Field of the filter bar, with the name of the API's parameter. Choices come from configuration only."""

    name: str
    label: Text
    kind: Literal["select", "day", "text"] = "select"
    choices: Choices | None = None


@dataclass(frozen=True)
class ShownFilter:
    """Filter field in the form that templates need."""

    name: str
    label: Text
    kind: str
    value: str
    choices: Sequence[tuple[str, Text]]


@dataclass(frozen=True)
class ListPage:
    """Page of rows, and the queries of the neighbouring pages."""

    rows: list[Any]
    filters: list[ShownFilter]
    search: str
    problems: list[str]
    older: str
    newer: str
    is_filtered: bool


def words(enumeration: Any) -> Choices:
    """Return the values of an enumeration as choices."""
    return lambda _ctx: [(entry.value, word(entry.value)) for entry in enumeration]


def created_window() -> tuple[ListFilter, ListFilter]:
    return ListFilter("created_after", _("From day (UTC)"), "day"), ListFilter(
        "created_before", _("To day (UTC)"), "day"
    )


def list_page(
    rows: QuerySet[Any],
    query: QueryDict,
    *,
    ctx: ActingContext,
    filters: tuple[ListFilter, ...],
    filterset: type[django_filters.FilterSet] | None,
    search: Callable[[QuerySet[Any], str], QuerySet[Any]],
    key: str,
) -> ListPage:
    """Return the page of `rows` that `query` requests, ordered by `key` (`-id` or a unique column)."""
    problems: list[str] = []
    sent = {entry.name: query.get(entry.name, "").strip() for entry in filters}
    sought = query.get(_SEARCH, "").strip()[:200]
    if filterset is not None:
        bound = filterset(data=_as_parameters(sent, filters, problems), queryset=rows)
        if bound.is_valid():
            rows = _filtered(bound, problems)
        else:
            problems += [f"{name}: {' '.join(map(str, said))}" for name, said in bound.errors.items()]
    if sought and "\x00" not in sought:
        rows = search(rows, sought)
    if problems:
        rows = rows.none()
    taken, has_older, has_newer = _keyset(rows, query, key)
    kept = {name: value for name, value in {**sent, _SEARCH: sought}.items() if value}
    return ListPage(
        rows=taken,
        filters=[
            ShownFilter(e.name, e.label, e.kind, sent[e.name], e.choices(ctx) if e.choices else []) for e in filters
        ],
        search=sought,
        problems=problems,
        older=_query(kept, _OLDER, _edge(taken[-1], key)) if has_older else "",
        newer=_query(kept, _NEWER, _edge(taken[0], key)) if has_newer else "",
        is_filtered=bool(kept),
    )


def _filtered(bound: django_filters.FilterSet, problems: list[str]) -> QuerySet[Any]:
    """Return the filtered rows. A refusal of the filter is added to `problems`."""
    try:
        return bound.qs
    except ThreadaError as refusal:
        problems.append(refusal.detail)
        return bound.queryset.none()


def _keyset(rows: QuerySet[Any], query: QueryDict, key: str) -> tuple[list[Any], bool, bool]:
    """Return a page of rows, and whether later and earlier rows exist."""
    field, descends = key.removeprefix("-"), key.startswith("-")
    column = keyset_column(rows, field)
    beyond, short_of = (f"{column}__lt", f"{column}__gt") if descends else (f"{column}__gt", f"{column}__lt")
    newer = _bound(query.get(_NEWER, ""), field)
    if newer is not None:
        turned = list(rows.filter(**{short_of: newer}).order_by(column if descends else f"-{column}")[: PER_PAGE + 1])
        return turned[:PER_PAGE][::-1], True, len(turned) > PER_PAGE
    older = _bound(query.get(_OLDER, ""), field)
    if older is not None:
        rows = rows.filter(**{beyond: older})
    taken = list(rows.order_by(f"-{column}" if descends else column)[: PER_PAGE + 1])
    return taken[:PER_PAGE], len(taken) > PER_PAGE, older is not None and bool(taken)


def _bound(text: str, field: str) -> Any:
    if not text or "\x00" in text:
        return None
    if field != "id":
        return text[:200]
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _edge(row: Any, key: str) -> str:
    return str(reduce(getattr, key.removeprefix("-").split("__"), row))


def _query(kept: Mapping[str, str], name: str, value: str) -> str:
    parameters = QueryDict(mutable=True)
    parameters.update({**kept, name: value})
    return f"?{parameters.urlencode()}"


def _as_parameters(sent: Mapping[str, str], filters: tuple[ListFilter, ...], problems: list[str]) -> dict[str, str]:
    """Return API parameters: days become instants; the last day is included completely."""
    parameters = {name: value for name, value in sent.items() if value}
    for entry in filters:
        if entry.kind != "day" or entry.name not in parameters:
            continue
        try:
            day = date.fromisoformat(parameters[entry.name])
            end = day + timedelta(days=1) if entry.name.endswith("_before") else day
        except (ValueError, OverflowError):
            problems.append(_("{label}: enter a day in the form 2026-01-31.").format(label=entry.label))
            continue
        parameters[entry.name] = f"{end.isoformat()}T00:00:00Z"
    return parameters


def by_start_of(field: str) -> Callable[[QuerySet[Any], str], QuerySet[Any]]:
    """Return a search by the beginning of a slug."""
    return lambda rows, text: rows.filter(**{f"{field}__startswith": text})
