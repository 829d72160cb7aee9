"""Several rows in one round trip.

A request spends most of its time on statements. So the rows that belong together (a work item, its evidence, its
receipt, the queue row, the job) are written by one statement: a `WITH` of plain INSERTs and UPDATEs, prepared by
Django's fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections, models

from threada_site.database.router import refuse_while_reading
from threada_site.database.sets.set_statements import as_columns, columns, columns_named, sets_together
from threada_site.database.sets.stored_values import stored_values

type Fill = Callable[[list[Any]], None]
"""Function that sets a field of the given rows. Hashable."""


class Statement(NamedTuple):
    """SQL with a result (`SELECT` or `RETURNING`) and its parameters, to run in the same round trip."""

    sql: str
    params: tuple[Any, ...]


def insert_rows(*rows: models.Model, ignore_conflicts: bool = False) -> None:
    """Insert `rows` (of any models, ids set by their defaults) in one statement.

    Rows may refer to each other: foreign keys are checked at the end. Raise `django.db.IntegrityError` as `save` does,
    unless `ignore_conflicts`, which skips rows that violate a unique key.
    """
    if not rows:
        return
    refuse_while_reading(type(rows[0]).__name__)
    with batched_writes() as writes:
        writes.insert(rows, ignore_conflicts=ignore_conflicts)


def run_statement(statement: Statement) -> None:
    """Run a statement together with the other writes of the block."""
    refuse_while_reading("a statement")
    with batched_writes() as writes:
        writes.add(statement)


def update_row(row: models.Model, *fields: str) -> None:
    """Save `fields` of an existing row, found by its primary key: `save(update_fields=…)` with a prepared statement.

    No signal is sent, so this is for rows whose changes receipts record. Generated columns are read again when
    accessed. Raise `django.db.DatabaseError` if the row is gone.
    """
    refuse_while_reading(type(row).__name__)
    with batched_writes() as writes:
        writes.change(row, fields)


@contextmanager
def batched_writes(*, as_sets: bool = False) -> Iterator[_Writes]:
    """Collect the writes of `insert_rows`, `update_row` and `run_statement` inside the block and run them at its end,
    in one statement. A block inside another one joins it.

    A read inside returns the state before the block. Changes of one row become one change: the statuses between them
    are not written. A block that raises writes nothing.

    `as_sets`: rows of the same kind are written together, so that the text of the statement does not grow with their
    number. For blocks with many rows.
    """
    database = connections[DEFAULT_DB_ALIAS]  # not the proxy, which looks it up at every use
    if database.open_batch is not None:  # type: ignore[attr-defined]
        yield database.open_batch  # type: ignore[attr-defined]
        return
    database.open_batch = writes = _Writes(database, as_sets=as_sets)  # type: ignore[attr-defined]
    try:
        yield writes
    finally:
        database.open_batch = None  # type: ignore[attr-defined]
    writes.run()


class _Insert(NamedTuple):
    row: models.Model
    values: list[Any]
    """Values of `columns`, in their order."""
    ignore_conflicts: bool


class _Change(NamedTuple):
    row: models.Model
    values: dict[models.Field[Any, Any], Any]


class _Writes:
    """Writes of one statement. Values are taken from the rows when they are added; those added last are written."""

    def __init__(self, database: Any, *, as_sets: bool) -> None:
        self._database = database
        self._as_sets = as_sets
        self._inserts: list[_Insert] = []
        self._changes: list[_Change] = []
        self._also: list[Statement] = []
        self._inserted: dict[tuple[type[models.Model], Any], _Insert] = {}
        self._changed: dict[tuple[type[models.Model], Any], _Change] = {}
        self._unfilled: dict[tuple[Fill, str], list[models.Model]] = {}

    def fill_last(self, row: models.Model, field: str, fill: Fill) -> None:
        """Set a text field of an inserted row when the statement is complete: `fill` is called once with all rows of
        the same model that were given with an equal one."""
        self._unfilled.setdefault((fill, field), []).append(row)

    def insert(self, rows: Sequence[models.Model], *, ignore_conflicts: bool) -> None:
        for row in rows:
            values = stored_values(row, None, database=self._database, is_new=True)
            insert = _Insert(row, values, ignore_conflicts)
            self._inserts.append(insert)
            self._inserted.setdefault((type(row), row.pk), insert)

    def change(self, row: models.Model, fields: tuple[str, ...]) -> None:
        stored = stored_values(row, fields, database=self._database, is_new=False)
        values = dict(zip(columns_named(type(row), fields), stored, strict=True))
        inserted = self._inserted.get((type(row), row.pk))
        changed = self._changed.get((type(row), row.pk))
        if inserted is not None:
            places = columns(type(row))
            for field, value in values.items():
                inserted.values[places.index(field)] = value
        elif changed is not None:
            changed.values.update(values)
        else:
            change = self._changed[type(row), row.pk] = _Change(row, values)
            self._changes.append(change)

    def add(self, statement: Statement) -> None:
        self._also.append(statement)

    def run(self) -> None:
        for (fill, name), rows in self._unfilled.items():
            fill(rows)
            (field,) = columns_named(type(rows[0]), (name,))
            place = columns(type(rows[0])).index(field)
            for row in rows:
                self._inserted[type(row), row.pk].values[place] = getattr(row, field.attname)
        if not (self._inserts or self._changes or self._also):
            return
        if self._as_sets:
            self._run_as_sets()
            return
        sql = _together(
            tuple((type(row), ignore_conflicts) for row, _, ignore_conflicts in self._inserts),
            tuple((type(row), tuple(field.name for field in values)) for row, values in self._changes),
            tuple(statement.sql for statement in self._also),
        )
        params = [value for insert in self._inserts for value in insert.values]
        for row, values in self._changes:
            params += [*values.values(), row.pk]
        params += [value for statement in self._also for value in statement.params]
        with self._database.prepared_cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(sql, params)
            found = cursor.fetchone()
        for row, _, _ in self._inserts:
            row._state.adding = False
            row._state.db = DEFAULT_DB_ALIAS
        for (row, _), count in zip(self._changes, found, strict=False):
            if count != 1:
                raise DatabaseError(f"{type(row).__name__} {row.pk} is not there to be changed.")
            _forget_generated(row)

    def _run_as_sets(self) -> None:
        """Write rows of the same kind together, so that the text does not grow with their number."""
        inserts: dict[tuple[type[models.Model], bool], list[_Insert]] = {}
        for insert in self._inserts:
            inserts.setdefault((type(insert.row), insert.ignore_conflicts), []).append(insert)
        changes: dict[tuple[type[models.Model], tuple[str, ...]], list[_Change]] = {}
        for change in self._changes:
            shape = (type(change.row), tuple(field.name for field in change.values))
            changes.setdefault(shape, []).append(change)
        sql = sets_together(tuple(inserts), tuple(changes), tuple(statement.sql for statement in self._also))
        params: list[Any] = []
        for (model, _), rows in inserts.items():
            params += as_columns(columns(model), [insert.values for insert in rows])
        for (model, names), changed in changes.items():
            fields = [*columns_named(model, names), model._meta.pk]
            params += as_columns(fields, [[*change.values.values(), change.row.pk] for change in changed])
        params += [value for statement in self._also for value in statement.params]
        with self._database.prepared_cursor() as cursor:
            cursor.execute(sql, params)
            found = cursor.fetchone()
        for ((model, _), changed), count in zip(changes.items(), found, strict=False):
            if count != len(changed):
                raise DatabaseError(f"{len(changed) - count} of {len(changed)} {model.__name__} rows are not there.")
        for insert in self._inserts:
            insert.row._state.adding = False
            insert.row._state.db = DEFAULT_DB_ALIAS
        for change in self._changes:
            _forget_generated(change.row)


def _forget_generated(row: models.Model) -> None:
    for field in row._meta.local_concrete_fields:
        if field.generated:
            row.__dict__.pop(field.attname, None)


@lru_cache(maxsize=256)
def _together(
    inserted: tuple[tuple[type[models.Model], bool], ...],
    changed: tuple[tuple[type[models.Model], tuple[str, ...]], ...],
    also: tuple[str, ...],
) -> str:
    """Return the text of one statement, identical for rows of the same models.

    The statement returns how many rows each UPDATE found, in their order.
    """
    parts = [f"r{number} AS ({_insert_sql(*insert)})" for number, insert in enumerate(inserted)]
    parts += [f"u{number} AS ({_update_sql(model, fields)})" for number, (model, fields) in enumerate(changed)]
    parts += [f"s{number} AS MATERIALIZED ({sql})" for number, sql in enumerate(also)]
    counted = [f"u{number}" for number in range(len(changed))] + [f"s{number}" for number in range(len(also))]
    counts = ", ".join(f"(SELECT count(*) FROM {name})" for name in counted) or "1"
    first, *rest = f"WITH {', '.join(parts)} SELECT {counts}".split("%s")
    return first + "".join(f"${number}{text}" for number, text in enumerate(rest, start=1))


def _update_sql(model: type[models.Model], fields: tuple[str, ...]) -> str:
    quote = connection.ops.quote_name
    pairs = ", ".join(f"{quote(str(field.column))} = {_placeholder(field)}" for field in columns_named(model, fields))
    key = model._meta.pk
    named = f"{quote(str(key.column))} = {_placeholder(key)}"
    return f"UPDATE {quote(model._meta.db_table)} SET {pairs} WHERE {named} RETURNING 1"


def _insert_sql(model: type[models.Model], ignore_conflicts: bool) -> str:  # noqa: FBT001
    quote = connection.ops.quote_name
    names = ", ".join(quote(str(field.column)) for field in columns(model))
    values = ", ".join(_placeholder(field) for field in columns(model))
    on_conflict = " ON CONFLICT DO NOTHING" if ignore_conflicts else ""
    return f"INSERT INTO {quote(model._meta.db_table)} ({names}) VALUES ({values}){on_conflict}"


def _placeholder(field: models.Field[Any, Any]) -> str:
    """Return a placeholder with its type, because inside `WITH` PostgreSQL does not infer it from the column."""
    return f"%s::{field.cast_db_type(connection)}"
