"""Lists: documented filters, search, selected columns, orders, keyset pages. Rows are never counted."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Literal, Self

import django_filters
from django.db import transaction
from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin.list_order import NEWER, OLDER, REVERSED, SORT, Order, keyset_page, order_in
from threada_site.admin.stored_choices import StoredChoices, read_choices
from threada_site.admin.words import Text, word
from threada_site.api.pagination import Search, found_rows
from threada_site.database.case_visibility import keyset_column
from threada_site.database.router import read_alias
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError

PER_PAGE: Final = 50
COLUMNS: Final = "columns"
_SEARCH: Final = "q"
_LONGEST_SEARCH: Final = 201
"""One more than a search allows, so that a longer one is refused."""
_MOST_SELECTED: Final = 40

type Choices = Callable[[ActingContext], list[tuple[str, str]]]


@dataclass(frozen=True)
class Column:
    """Column of a list. `is_wide` columns may wrap; others stay on one line.

    `is_extra`: shown only to those who select it. `name` is that in the query; columns without one cannot be selected.
    `sort`: field by which the list can be sorted. An index has the tenant, this field and the key of the list.
    `is_exact`: its times are shown exactly, not as `4 hours ago`.
    """

    title: Text
    value: Callable[[Any], Any]
    is_wide: bool = False
    is_extra: bool = False
    name: str = ""
    sort: str = ""
    is_exact: bool = False


@dataclass(frozen=True)
class Header:
    """Head of a column. `query` is that of the list sorted by it, or empty; `sorted` as in `aria-sort`."""

    column: Column
    query: str = ""
    sorted: Literal["", "ascending", "descending"] = ""


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
    headers: tuple[Header, ...] = ()
    sort: str = ""
    """Order that the query asks for; empty for the usual one."""
    turned: str = ""
    """Query of the list in the other order, or in the usual one if it is sorted by a column."""


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
    filterset: Callable[..., django_filters.FilterSet] | None,
    search: Callable[[QuerySet[Any], str], QuerySet[Any]],
    key: str,
    columns: tuple[Column, ...] = (),
    finder: Callable[[str], Search] | None = None,
    most: int | None = None,
    beside: Iterable[QuerySet[Any]] = (),
) -> ListPage:
    """Return the page of `rows` that `query` requests, ordered by `key` (see `Order.of`) or by a column.

    With `finder`, a text is searched for by ids; otherwise `search` narrows the rows. The statement that reads the
    choices of filters also evaluates the querysets `beside` the list.
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
    usual = Order.of(key)
    sorts = {} if sought and finder else _sorts(rows, columns)
    order, sort = (usual, "") if sought and finder else order_in(query, usual, sorts)
    chosen = chosen_columns(columns, query)
    kept = kept_in(query, filters, columns)
    is_filtered = any(name not in (COLUMNS, SORT) for name in kept)
    others = {name: value for name, value in kept.items() if name != SORT}
    if problems:
        rows = rows.none()
    if sought and finder is not None and not problems:
        taken, further = _searched(rows, query, finder(sought), problems, most)
        older, newer = _query(kept, OLDER, further), ("?" if query.get(OLDER) else "") and _query(kept)
        older = older if further else ""
    else:
        if sought and "\x00" not in sought:
            rows = _narrowed(rows, sought, search, problems)
        taken, has_older, has_newer = keyset_page(rows, query, order, most)
        older = _query(kept, OLDER, order.edge(taken[-1])) if has_older else ""
        newer = _query(kept, NEWER, order.edge(taken[0])) if has_newer and taken else ""
    return ListPage(
        rows=taken,
        filters=_shown(filters, sent, ctx, beside=beside),
        search=sought,
        problems=problems,
        older=older,
        newer=newer,
        is_filtered=is_filtered,
        kept=kept,
        columns=chosen,
        headers=tuple(_header(column, sorts, order, others, usual) for column in chosen),
        sort=sort,
        turned=_query(others if sort else {**others, SORT: REVERSED}),
    )


def _shown(
    filters: tuple[ListFilter, ...], sent: Mapping[str, str], ctx: ActingContext, *, beside: Iterable[QuerySet[Any]]
) -> list[ShownFilter]:
    """Return the filters with their choices; all that are stored are read by one statement."""
    stored = [entry.choices for entry in filters if isinstance(entry.choices, StoredChoices)]
    read = iter(read_choices(stored, ctx, beside=beside))
    found = []
    for entry in filters:
        if isinstance(entry.choices, StoredChoices):
            choices = next(read)
        else:
            choices = entry.choices(ctx) if entry.choices else []
        found.append(ShownFilter(entry.name, entry.label, entry.kind, sent[entry.name], choices))
    return found


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
    asked = query.get(SORT, "")
    if asked == REVERSED or any(column.sort and column.name == asked.removeprefix("-") for column in columns):
        kept[SORT] = asked
    return {name: value for name, value in kept.items() if value}


def _searched(
    rows: QuerySet[Any], query: QueryDict, search: Search, problems: list[str], most: int
) -> tuple[list[Any], str]:
    """Return the rows that a search finds, and the bound of the next page. A refusal is added to `problems`.

    A savepoint keeps the unit of work usable for the rest of the page after a search that took too long.
    """
    try:
        with transaction.atomic(using=read_alias()):
            taken, further = found_rows(rows, search, below=_bound(query.get(OLDER, "")), most=most)
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


def _sorts(rows: QuerySet[Any], columns: tuple[Column, ...]) -> dict[str, str]:
    """Return the fields by which `rows` can be sorted. Own items of a principal have no index but that of ids."""
    if keyset_column(rows) != "id":
        return {column.name: column.sort for column in columns if column.sort == "id"}
    return {column.name: column.sort for column in columns if column.sort}


def _header(column: Column, sorts: Mapping[str, str], order: Order, others: Mapping[str, str], usual: Order) -> Header:
    if column.name not in sorts:
        return Header(column)
    wanted = usual.sorted_by(sorts[column.name], descends=False)
    if order not in (wanted, wanted.turned):
        return Header(column, _query(others, SORT, column.name))
    name = column.name if order.descends else f"-{column.name}"
    return Header(column, _query(others, SORT, name), "descending" if order.descends else "ascending")


def _filtered(bound: django_filters.FilterSet, problems: list[str]) -> QuerySet[Any]:
    """Return the filtered rows. A refusal of the filter is added to `problems`."""
    try:
        return bound.qs
    except ThreadaError as refusal:
        problems.append(refusal.detail)
        return bound.queryset.none()


def _bound(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


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
