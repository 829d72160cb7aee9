"""Frequent reads, compiled once by Django and prepared once by PostgreSQL.

Django builds the SQL of a queryset every time, which costs more than a lookup by key takes in PostgreSQL. Running an
execution makes the same few queries each time.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import Model, QuerySet

from threada_site.database.router import read_connection
from threada_site.database.sets.row_columns import RowColumns
from threada_site.database.sets.shared_reads import remember, shared

type Key = uuid.UUID | str


class PreparedRead[M: Model]:
    """The rows of a queryset for given keys: `PreparedRead(lambda key: Thing.objects.filter(id=key))`.

    `build` is called once with a placeholder value for each parameter, and its queryset is compiled. So parameters must
    be UUIDs or texts used in conditions, and everything else is constant. `select_related` works for direct relations.
    """

    def __init__(self, build: Callable[..., QuerySet[M]]) -> None:
        self._build = build
        self._compiled: _Compiled | None = None

    def __call__(self, *keys: Key) -> list[M]:
        """Return the rows for `keys`, the parameters of `build` in order. Inside `shared_reads` rows are read once,
        unless the read locks them."""
        compiled = self._compile(keys)
        if compiled.locks:
            return compiled.objects(keys)
        return shared((self, keys), lambda: compiled.objects(keys))

    def read_ahead(self, several: Sequence[tuple[Key, ...]]) -> None:
        """Read the rows for several keys in one statement. Later calls inside the same `shared_reads` return them."""
        if not several:
            return
        for keys, rows in self._compile(several[0]).objects_of(several).items():
            remember((self, keys), rows)

    def _compile(self, keys: tuple[Key, ...]) -> _Compiled:
        if self._compiled is None:
            self._compiled = _Compiled(self._build, keys)
        return self._compiled

    def first(self, *keys: Key) -> M | None:
        """Return the first row for `keys`, or None."""
        return next(iter(self(*keys)), None)


class _Compiled:
    """The text of a query, the positions of its keys, and the models of its columns."""

    def __init__(self, build: Callable[..., QuerySet[Any]], keys: tuple[Key, ...]) -> None:
        marks: list[Key] = [uuid.uuid4().hex if isinstance(key, str) else uuid.uuid4() for key in keys]
        query = build(*marks).query
        sql, self._parameters = query.sql_with_params()
        places = [number for number, value in enumerate(self._parameters) if value in marks]
        self._places = [(place, marks.index(self._parameters[place])) for place in places]
        first, *rest = sql.split("%s")
        self._sql = first + "".join(f"${number}{text}" for number, text in enumerate(rest, start=1))
        self.locks = " FOR UPDATE" in self._sql
        self._set_sql = self._as_set(first, rest, keys)
        model: Any = query.model
        self._row = RowColumns(model, 0)
        self._related: list[tuple[Any, RowColumns]] = []
        end = self._row.end
        for field in _selected_relations(model, query.select_related):
            related = RowColumns(field.related_model, end)
            self._related.append((field, related))
            end = related.end
        self._is_checked = False

    def objects(self, keys: tuple[Key, ...]) -> list[Any]:
        bound = list(self._parameters)
        for place, key in self._places:
            bound[place] = keys[key]
        with read_connection().prepared_cursor() as cursor:
            cursor.execute(self._sql, bound)
            if not self._is_checked:
                self._check([column.name for column in cursor.description])
            rows = cursor.fetchall()
        return [self._object(values) for values in rows]

    def objects_of(self, several: Sequence[tuple[Key, ...]]) -> dict[tuple[Key, ...], list[Any]]:
        """Return the rows for each of several keys, read with one statement."""
        distinct = list(dict.fromkeys(several))
        constants = [value for place, value in enumerate(self._parameters) if place not in dict(self._places)]
        arrays = [[keys[position] for keys in distinct] for position in range(len(distinct[0]))]
        found: dict[tuple[Key, ...], list[Any]] = {keys: [] for keys in distinct}
        with read_connection().prepared_cursor() as cursor:
            cursor.execute(self._set_sql, [*arrays, *constants])
            for number, *values in cursor.fetchall():
                found[distinct[number - 1]].append(self._object(tuple(values)))
        return found

    def _as_set(self, first: str, rest: list[str], keys: tuple[Key, ...]) -> str:
        """Return the text of the query for arrays of keys. Constant parameters follow the arrays."""
        places, text, number = dict(self._places), first, len(keys)
        for place, part in enumerate(rest):
            if place in places:
                text += f"k.k{places[place]}{part}"
            else:
                number += 1
                text += f"${number}{part}"
        arrays = ", ".join(f"${n}::{'text' if isinstance(key, str) else 'uuid'}[]" for n, key in enumerate(keys, 1))
        names = ", ".join(f"k{n}" for n in range(len(keys)))
        return f"SELECT k.n, r.* FROM unnest({arrays}) WITH ORDINALITY AS k ({names}, n) CROSS JOIN LATERAL ({text}) r"

    def _check(self, found: list[str]) -> None:
        """Raise AssertionError if Django selects other columns, or in another order, than `objects` expects."""
        columns = (self._row, *(related for _, related in self._related))
        expected = [name for each in columns for name in each.names]
        if found != expected:
            raise AssertionError(f"{self._row.model.__name__}: Django selects {found}, not {expected}.")
        self._is_checked = True

    def _object(self, values: tuple[Any, ...]) -> Model:
        row = self._row.object(values)
        for field, columns in self._related:
            is_there = values[columns.key] is not None
            field.set_cached_value(row, columns.object(values) if is_there else None)
        return row


def _selected_relations(model: type[Model], selected: Any) -> list[Any]:
    """Return the relations of `select_related`, in the order in which Django appends their columns."""
    if not selected:
        return []
    forward = [field for field in model._meta.fields if field.name in selected]
    backward = [model._meta.get_field(name) for name in selected if name not in {field.name for field in forward}]
    return [*forward, *backward]
