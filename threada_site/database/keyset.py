"""Orders of the API's lists and the bounds of their pages, without OFFSET.

The console's lists page in both directions by positions in their addresses, see `threada_site.admin.list_order`.

An order is a column that is never null, with the id of the row as tie-break; an index on tenant, column and id serves
it. The default is the id alone, newest first.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BooleanField, Func, Lookup, Q, QuerySet

from threada_site.database.case_visibility import KEYSET, keyset_column


class Edge(NamedTuple):
    """Last row of a page: its id, and its value in the column of the order (None for the order by id)."""

    id: uuid.UUID
    value: Any = None


@dataclass(frozen=True, slots=True)
class Order:
    """Order of a list by `column` and id."""

    column: str = "id"
    descends: bool = True

    @property
    def is_by_id(self) -> bool:
        return self.column == "id"

    @property
    def is_newest_first(self) -> bool:
        return self.is_by_id and self.descends

    def sort(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return `rows` in this order."""
        sign = "-" if self.descends else ""
        names = [keyset_column(rows)] if self.is_by_id else [self.column, keyset_column(rows)]
        return rows.order_by(*(sign + name for name in names))

    def beyond(self, rows: QuerySet[Any], edge: Edge) -> QuerySet[Any]:
        """Return the rows that follow `edge` in this order.

        The bound of the column is a condition of its own, so that it limits the part of the index that is read.
        """
        step = "lt" if self.descends else "gt"
        after = Q(**{f"{keyset_column(rows)}__{step}": edge.id})
        if self.is_by_id:
            return rows.filter(after)
        return rows.filter(
            Q(**{f"{self.column}__{step}e": edge.value}), Q(**{f"{self.column}__{step}": edge.value}) | after
        )

    def edge_of(self, row: Any) -> Edge:
        """Return `row` as the last one of a page."""
        return Edge(row.id, None if self.is_by_id else reduce(getattr, self.column.split("__"), row))


def first_rows(rows: QuerySet[Any], most: int) -> list[Any]:
    """Return the first `most` of the ordered `rows`, in one statement.

    Their ids are found without the tables that `select_related` joins. Row-level security makes PostgreSQL expect few
    rows of each join, so that it would join and sort all rows of the tenant instead of reading them in their order.
    Rows with conditions on other tables are read in one step: repeating such a condition for the found ids made
    PostgreSQL choose plans that did not end.
    """
    if not rows.query.select_related or not _has_plain_conditions(rows):
        return list(rows[:most])
    found = ArraySubquery(rows.select_related(None).values("id")[:most])
    return list(rows.filter(_IsAnyOf("id", found)))


def _has_plain_conditions(rows: QuerySet[Any]) -> bool:
    """Return True if all conditions compare columns of the rows' own table with values."""
    query = rows.query
    compared = all(
        isinstance(each, Lookup) and not hasattr(each.rhs, "resolve_expression") for each in query.where.leaves()
    )
    tables = sum(count > 0 for count in query.alias_refcount.values())
    return compared and tables <= 1 and KEYSET not in query.annotations


class _IsAnyOf(Func):
    """SQL condition: a column is equal to an element of an array."""

    template = "%(expressions)s)"
    arg_joiner = " = ANY("
    output_field = BooleanField()


NEWEST_FIRST = Order()
