"""Rows that nobody else has locked, locked and read by one prepared statement for any number of keys."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from django.db import connection
from django.db.models import Model

from threada_site.database.sets.row_columns import RowColumns


class UnlockedRows[M: Model]:
    """Lock and return the rows `r` of a model that satisfy `condition` and that nobody else has locked.

    `condition` is SQL after WHERE, with parameters `$1`, `$2`, …; it may order and limit the rows. `related` names
    required foreign keys whose rows are read as well; rows that refer to the same row share one object.
    """

    def __init__(self, model: type[M], *related: str, condition: str) -> None:
        self._model = model
        self._names = related
        self._condition = condition

    def __call__(self, *parameters: Any) -> list[M]:
        with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(self._sql, parameters)
            rows = cursor.fetchall()
        shared: list[dict[Any, Model]] = [{} for _ in self._related]
        return [self._object(values, shared) for values in rows]

    @cached_property
    def _columns(self) -> RowColumns:
        return RowColumns(self._model, 0)

    @cached_property
    def _related(self) -> list[tuple[Any, RowColumns]]:
        found, end = list[tuple[Any, RowColumns]](), self._columns.end
        for name in self._names:
            field: Any = self._model._meta.get_field(name)
            found.append((field, RowColumns(field.related_model, end)))
            end = found[-1][1].end
        return found

    @cached_property
    def _sql(self) -> str:
        quote = connection.ops.quote_name
        selected = [f"r.{quote(name)}" for name in self._columns.names]
        joins = ""
        for number, (field, columns) in enumerate(self._related):
            selected += [f"j{number}.{quote(name)}" for name in columns.names]
            table, key = (quote(str(name)) for name in (columns.model._meta.db_table, columns.model._meta.pk.column))
            joins += f" JOIN {table} j{number} ON j{number}.{key} = r.{quote(field.column)}"
        return (
            f"SELECT {', '.join(selected)} FROM {quote(self._model._meta.db_table)} r{joins} "
            f"WHERE {self._condition} FOR UPDATE OF r SKIP LOCKED"
        )

    def _object(self, values: tuple[Any, ...], shared: Sequence[dict[Any, Model]]) -> M:
        row: Any = self._columns.object(values)
        for (field, columns), known in zip(self._related, shared, strict=True):
            key = values[columns.key]
            if key not in known:
                known[key] = columns.object(values)
            field.set_cached_value(row, known[key])
        return row  # type: ignore[no-any-return]
