"""Choices of filters that are read from the configuration. All of one filter bar are read by one statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import F, IntegerField, QuerySet, TextField, Value, Window
from django.db.models.functions import Cast, RowNumber

from threada_site.database.joint_reads import fetch_together
from threada_site.kernel.context import ActingContext

MOST: Final = 300


@dataclass(frozen=True)
class StoredChoices:
    """Choices from the rows that `rows` returns, by `order`. `value` and `label` are columns or expressions.

    `as_value` turns the text of a stored value into that of the choice.
    """

    rows: Callable[[ActingContext], QuerySet[Any]]
    value: Any = "slug"
    label: Any = "slug"
    order: tuple[str, ...] = ("slug",)
    as_value: Callable[[str], str] = str

    def __call__(self, ctx: ActingContext) -> list[tuple[str, str]]:
        return read_choices([self], ctx)[0]


def read_choices(
    sources: Sequence[StoredChoices], ctx: ActingContext, *, beside: Iterable[QuerySet[Any]] = ()
) -> list[list[tuple[str, str]]]:
    """Return the first `MOST` choices of each source. The same statement evaluates the querysets `beside` them."""
    parts = [_part(source, number, ctx) for number, source in enumerate(sources)]
    found: list[list[tuple[str, str]]] = [[] for _ in sources]
    rows = parts[0].union(*parts[1:], all=True) if parts else None
    fetch_together(rows, *beside)
    for number, _place, value, label in sorted(rows or ()):
        found[number].append((sources[number].as_value(value), label))
    return found


def _part(source: StoredChoices, number: int, ctx: ActingContext) -> QuerySet[Any]:
    value, label = (F(one) if isinstance(one, str) else one for one in (source.value, source.label))
    rows = source.rows(ctx).annotate(
        choice_source=Value(number, output_field=IntegerField()),
        choice_place=Window(RowNumber(), order_by=list(source.order)),
        choice_value=Cast(value, TextField()),
        choice_label=Cast(label, TextField()),
    )
    names = ("choice_source", "choice_place", "choice_value", "choice_label")
    return rows.order_by(*source.order).values_list(*names)[:MOST]
