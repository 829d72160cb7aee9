"""Frequent reads, compiled once by Django and prepared once by PostgreSQL.

Django builds the SQL of a queryset every time, which costs more than a lookup by key takes in PostgreSQL. Running an
execution makes the same few queries each time.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model, QuerySet
from django.db.models.query import ModelIterable

from threada_site.database.router import read_connection

type Key = uuid.UUID | str


class PreparedRead[M: Model]:
    """The rows of a queryset for given keys: `PreparedRead(lambda key: Thing.objects.filter(id=key))`.

    `build` is called once with a placeholder value for each parameter, and its queryset is compiled. So parameters must
    be UUIDs or texts used in conditions, and everything else is constant. `select_related` works.
    """

    def __init__(self, build: Callable[..., QuerySet[M]]) -> None:
        self._build = build
        self._compiled: _Compiled | None = None

    def __call__(self, *keys: Key) -> list[M]:
        """Return the rows for `keys`, the parameters of `build` in order."""
        if self._compiled is None:
            self._compiled = _Compiled(self._build, keys)
        return self._compiled.objects(keys)

    def first(self, *keys: Key) -> M | None:
        """Return the first row for `keys`, or None."""
        return next(iter(self(*keys)), None)


class _Compiled:
    """The text of a query, the positions of its keys, and Django's mapping from its rows to objects."""

    def __init__(self, build: Callable[..., QuerySet[Any]], keys: tuple[Key, ...]) -> None:
        marks: list[Key] = [uuid.uuid4().hex if isinstance(key, str) else uuid.uuid4() for key in keys]
        queryset = build(*marks)
        self._compiler = queryset.query.get_compiler(using=DEFAULT_DB_ALIAS)
        sql, self._parameters = self._compiler.as_sql()
        places = [number for number, value in enumerate(self._parameters) if value in marks]
        self._places = [(place, marks.index(self._parameters[place])) for place in places]
        first, *rest = sql.split("%s")
        self._sql = first + "".join(f"${number}{text}" for number, text in enumerate(rest, start=1))
        self._rows = SimpleNamespace(
            db=DEFAULT_DB_ALIAS,
            model=queryset.model,
            _fetch_mode=queryset._fetch_mode,  # type: ignore[attr-defined]
            _known_related_objects={},
        )

    def objects(self, keys: tuple[Key, ...]) -> list[Any]:
        bound = list(self._parameters)
        for place, key in self._places:
            bound[place] = keys[key]
        with read_connection().prepared_cursor() as cursor:
            cursor.execute(self._sql, bound)
            rows = cursor.fetchall()
        return list(ModelIterable(_answered(self._rows, self._compiler, rows))) if rows else []


def _answered(rows: SimpleNamespace, compiler: Any, found: list[tuple[Any, ...]]) -> Any:
    """Return a queryset, as far as `ModelIterable` uses it, whose query has already been run."""
    answered = SimpleNamespace(
        select=compiler.select,
        klass_info=compiler.klass_info,
        annotation_col_map=compiler.annotation_col_map,
        execute_sql=lambda **_: [found],
        results_iter=compiler.results_iter,
    )
    return SimpleNamespace(**vars(rows), query=SimpleNamespace(get_compiler=lambda using: answered))  # noqa: ARG005
