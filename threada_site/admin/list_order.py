"""Order of lists, and pages by keyset: rows beyond the last one shown, whatever was added since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import F, Func, Q, QuerySet, TextField, Value
from django.db.models.lookups import GreaterThan, LessThan
from django.http import QueryDict

from threada_site.database.case_visibility import keyset_column
from threada_site.database.keyset import first_rows

SORT: Final = "sort"
REVERSED: Final = "reversed"
OLDER: Final = "older"
NEWER: Final = "newer"
_BETWEEN: Final = "~"


@dataclass(frozen=True, slots=True)
class Order:
    """Order by fields, the last of which is unique. An index has the tenant and these fields, in this order."""

    fields: tuple[str, ...]
    descends: bool = False

    @classmethod
    def of(cls, key: str) -> Order:
        """Return the order of a key: a unique field, or several separated by commas, `-` first if it descends."""
        return cls(tuple(key.removeprefix("-").split(",")), key.startswith("-"))

    @property
    def turned(self) -> Order:
        return Order(self.fields, not self.descends)

    def sorted_by(self, field: str, *, descends: bool) -> Order:
        """Return the order by a field, then by the unique field of this order."""
        unique = self.fields[-1]
        return Order((unique,) if field == unique else (field, unique), descends)

    def edge(self, row: Any) -> str:
        """Return the text of the position of a row."""
        values = (reduce(getattr, field.split("__"), row) for field in self.fields)
        return _BETWEEN.join(value.isoformat() if hasattr(value, "isoformat") else str(value) for value in values)


def order_in(query: QueryDict, default: Order, sorts: Mapping[str, str]) -> tuple[Order, str]:
    """Return the order that a query asks for, and its text; the default order and "" for any other text.

    `sorts`: field of each column that can be sorted by, by the name of the column.
    """
    asked = query.get(SORT, "")
    if asked == REVERSED:
        return default.turned, asked
    field = sorts.get(asked.removeprefix("-"))
    if field is None:
        return default, ""
    order = default.sorted_by(field, descends=asked.startswith("-"))
    if order == default:
        return default, ""
    return order, REVERSED if order == default.turned else asked


def keyset_page(rows: QuerySet[Any], query: QueryDict, order: Order, most: int) -> tuple[list[Any], bool, bool]:
    """Return a page of rows, and whether later and earlier rows exist."""
    newer = _position(rows, query.get(NEWER, ""), order)
    if newer is not None:
        turned = first_rows(_ordered(rows.filter(_beyond(rows, newer, order.turned)), order.turned), most + 1)
        return turned[:most][::-1], True, len(turned) > most
    older = _position(rows, query.get(OLDER, ""), order)
    if older is not None:
        rows = rows.filter(_beyond(rows, older, order))
    taken = first_rows(_ordered(rows, order), most + 1)
    return taken[:most], len(taken) > most, older is not None and bool(taken)


def _ordered(rows: QuerySet[Any], order: Order) -> QuerySet[Any]:
    columns = (keyset_column(rows, field) for field in order.fields)
    return rows.order_by(*(f"-{column}" if order.descends else column for column in columns))


def _beyond(rows: QuerySet[Any], position: list[Any], order: Order) -> Any:
    """Return the condition of rows after a position. Several fields are compared as a row, which an index serves."""
    columns = [keyset_column(rows, field) for field in order.fields]
    if len(columns) == 1:
        return Q(**{f"{columns[0]}__{'lt' if order.descends else 'gt'}": position[0]})
    values = [Value(value, output_field=_field(rows, name)) for name, value in zip(order.fields, position, strict=True)]
    compared = LessThan if order.descends else GreaterThan
    return compared(_row(*map(F, columns)), _row(*values))


def _row(*parts: Any) -> Func:
    return Func(*parts, function="ROW", output_field=TextField())


def _position(rows: QuerySet[Any], text: str, order: Order) -> list[Any] | None:
    """Return the values of a position; None for an invalid text."""
    if not text or "\x00" in text:
        return None
    parts = text[:400].rsplit(_BETWEEN, len(order.fields) - 1)
    if len(parts) != len(order.fields):
        return None
    try:
        return [_field(rows, field).to_python(part) for field, part in zip(order.fields, parts, strict=True)]
    except ValidationError:
        return None


def _field(rows: QuerySet[Any], path: str) -> Any:
    """Return the model field of a path such as `user__username`."""
    model, _, last = rows.model, *path.rpartition("__")[1:]
    for step in path.split("__")[:-1]:
        model = model._meta.get_field(step).related_model
        if model is None:
            raise FieldDoesNotExist(path)
    return model._meta.get_field(last)
