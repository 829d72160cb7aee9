"""Lists: documented filters, search, selected columns, two orders, keyset pages. Rows are never counted."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce
from typing import Any, Final, Literal, Self

import django_filters
from django.db import transaction
from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin.words import Text, word
from threada_site.api.pagination import Search, found_rows
from threada_site.database.case_visibility import keyset_column
from threada_site.database.router import read_alias
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError

PER_PAGE: Final = 50
COLUMNS: Final = "columns"
_OLDER, _NEWER, _SEARCH, _SORT, _REVERSED = "older", "newer", "q", "sort", "reversed"
_LONGEST_SEARCH: Final = 201
"""One more than a search allows, so that a longer one is refused."""
_MOST_SELECTED: Final = 40

type Choices = Callable[[ActingContext], list[tuple[str, str]]]


@dataclass(frozen=True)
class Column:
    """Column of a list. `is_wide` columns may wrap; others stay on one line.

    `is_extra`: shown only to those who select it. `name` is that in the query; columns without one cannot be selected.
    """

    title: Text
    value: Callable[[Any], Any]
    is_wide: bool = False
    is_extra: bool = False
    name: str = ""


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


class ShownRow(tuple[str, list[tuple[Column, Any]]]):  # noqa: SLOT001  (it has the attribute `key`)
    """URL of a row and its cells. `key` is that of the row in URLs."""

    key: str

    def __new__(cls, url: str, cells: list[tuple[Column, Any]], *, key: str) -> Self:
        row = super().__new__(cls, (url, cells))
        row.key = key
        return row


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
    kept: dict[str, str]
    """Parameters of the query that make up the list: filters, search, columns, order."""
    columns: tuple[Column, ...] = ()
    is_reversed: bool = False
    turned: str = ""
    """Query of the list in the other order."""


def words(enumeration: Any) -> Choices:
    """Return the values of an enumeration as choices."""
    return lambda _ctx: [(entry.value, word(entry.value)) for entry in enumeration]


def created_window() -> tuple[ListFilter, ListFilter]:
    return ListFilter("created_after", gettext_lazy("From day (UTC)"), "day"), ListFilter(
        "created_before", gettext_lazy("To day (UTC)"), "day"
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
    columns: tuple[Column, ...] = (),
    finder: Callable[[str], Search] | None = None,
    most: int | None = None,
) -> ListPage:
    """Return the page of `rows` that `query` requests, ordered by `key` (`-id` or a unique column).

    With `finder`, a text is searched for by ids; otherwise `search` narrows the rows.
    """
    most = most or PER_PAGE
    problems: list[str] = []
    sent = {entry.name: query.get(entry.name, "").strip() for entry in filters}
    sought = query.get(_SEARCH, "").strip()[:_LONGEST_SEARCH]
    if filterset is not None:
        bound = filterset(data=_as_parameters(sent, filters, problems), queryset=rows)
        if bound.is_valid():
            rows = _filtered(bound, problems)
        else:
            problems += [f"{name}: {' '.join(map(str, said))}" for name, said in bound.errors.items()]
    is_reversed = query.get(_SORT) == _REVERSED and not (sought and finder)
    key = _turned(key) if is_reversed else key
    chosen = chosen_columns(columns, query)
    kept = kept_in(query, filters, columns)
    is_filtered = any(name not in (COLUMNS, _SORT) for name in kept)
    others = {name: value for name, value in kept.items() if name != _SORT}
    turned = _query(others if is_reversed else {**others, _SORT: _REVERSED})
    if problems:
        rows = rows.none()
    if sought and finder is not None and not problems:
        taken, further = _searched(rows, query, finder(sought), problems, most)
        older, newer = _query(kept, _OLDER, further), ("?" if query.get(_OLDER) else "") and _query(kept)
        older = older if further else ""
    else:
        if sought and "\x00" not in sought:
            rows = _narrowed(rows, sought, search, problems)
        taken, has_older, has_newer = _keyset(rows, query, key, most)
        older = _query(kept, _OLDER, _edge(taken[-1], key)) if has_older else ""
        newer = _query(kept, _NEWER, _edge(taken[0], key)) if has_newer else ""
    return ListPage(
        rows=taken,
        filters=[
            ShownFilter(e.name, e.label, e.kind, sent[e.name], e.choices(ctx) if e.choices else []) for e in filters
        ],
        search=sought,
        problems=problems,
        older=older,
        newer=newer,
        is_filtered=is_filtered,
        kept=kept,
        columns=chosen,
        is_reversed=is_reversed,
        turned=turned,
    )


def chosen_columns(columns: tuple[Column, ...], query: QueryDict) -> tuple[Column, ...]:
    """Return the columns that the query selects, in their order, and always the first. By default all but extras."""
    wanted = {name for text in query.getlist(COLUMNS)[:_MOST_SELECTED] for name in text.split(",")[:_MOST_SELECTED]}
    chosen = tuple(column for column in columns if column.name and column.name in wanted)
    if not chosen:
        return tuple(column for column in columns if not column.is_extra)
    return tuple(dict.fromkeys((columns[0], *chosen)))


def kept_in(query: QueryDict, filters: tuple[ListFilter, ...], columns: tuple[Column, ...]) -> dict[str, str]:
    """Return the parameters of `query` that make up a list: filters, search, columns and order."""
    kept = {entry.name: query.get(entry.name, "").strip()[:_LONGEST_SEARCH] for entry in filters}
    kept[_SEARCH] = query.get(_SEARCH, "").strip()[:_LONGEST_SEARCH]
    chosen = chosen_columns(columns, query)
    if chosen != chosen_columns(columns, QueryDict()):
        kept[COLUMNS] = ",".join(column.name for column in chosen)
    if query.get(_SORT) == _REVERSED:
        kept[_SORT] = _REVERSED
    return {name: value for name, value in kept.items() if value}


def _searched(
    rows: QuerySet[Any], query: QueryDict, search: Search, problems: list[str], most: int
) -> tuple[list[Any], str]:
    """Return the rows that a search finds, and the bound of the next page. A refusal is added to `problems`.

    A savepoint keeps the unit of work usable for the rest of the page after a search that took too long.
    """
    try:
        with transaction.atomic(using=read_alias()):
            taken, further = found_rows(rows, search, below=_bound(query.get(_OLDER, ""), "id"), most=most)
    except ThreadaError as refusal:
        problems.append(refusal.detail)
        return [], ""
    return taken, str(further) if further is not None else ""


def _narrowed(
    rows: QuerySet[Any], sought: str, search: Callable[[QuerySet[Any], str], QuerySet[Any]], problems: list[str]
) -> QuerySet[Any]:
    try:
        return search(rows, sought)
    except ThreadaError as refusal:
        problems.append(refusal.detail)
        return rows.none()


def _turned(key: str) -> str:
    return key.removeprefix("-") if key.startswith("-") else f"-{key}"


def _filtered(bound: django_filters.FilterSet, problems: list[str]) -> QuerySet[Any]:
    """Return the filtered rows. A refusal of the filter is added to `problems`."""
    try:
        return bound.qs
    except ThreadaError as refusal:
        problems.append(refusal.detail)
        return bound.queryset.none()


def _keyset(rows: QuerySet[Any], query: QueryDict, key: str, most: int = PER_PAGE) -> tuple[list[Any], bool, bool]:
    """Return a page of rows, and whether later and earlier rows exist."""
    field, descends = key.removeprefix("-"), key.startswith("-")
    column = keyset_column(rows, field)
    beyond, short_of = (f"{column}__lt", f"{column}__gt") if descends else (f"{column}__gt", f"{column}__lt")
    newer = _bound(query.get(_NEWER, ""), field)
    if newer is not None:
        turned = list(rows.filter(**{short_of: newer}).order_by(column if descends else f"-{column}")[: most + 1])
        return turned[:most][::-1], True, len(turned) > most
    older = _bound(query.get(_OLDER, ""), field)
    if older is not None:
        rows = rows.filter(**{beyond: older})
    taken = list(rows.order_by(f"-{column}" if descends else column)[: most + 1])
    return taken[:most], len(taken) > most, older is not None and bool(taken)


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


def _query(kept: Mapping[str, str], name: str = "", value: str = "") -> str:
    parameters = QueryDict(mutable=True)
    parameters.update({**kept, **({name: value} if name else {})})
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
