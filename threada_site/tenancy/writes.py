"""Several rows in one round trip.

A request's time goes mostly to statements, so the rows that belong together (a work item, its evidence, its receipt,
the queue row, the job) are inserted by one statement: a `WITH` of plain INSERTs that Django's own fields prepare.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections, models

from threada_site.tenancy.routing import refuse_while_reading


class Statement(NamedTuple):
    """SQL that returns at least one row, and its parameters: something else to run in the same round trip."""

    sql: str
    params: tuple[Any, ...]


def insert_together(rows: Sequence[models.Model], *, also: Sequence[Statement] = ()) -> None:
    """Insert `rows` (of any models, ids set by their defaults) and run `also`, in one statement.

    Foreign keys among them hold: constraints are checked at its end. Raises `django.db.IntegrityError` as `save` does.
    """
    if not rows and not also:
        return
    refuse_while_reading(type(rows[0]).__name__ if rows else "a statement")
    database = connections[DEFAULT_DB_ALIAS]  # itself, not the proxy that looks it up at every use
    params: list[Any] = []
    for row in rows:
        params += [field.get_db_prep_save(field.pre_save(row, True), database) for field in _columns(type(row))]
    for statement in also:
        params += statement.params
    sql = _together(tuple(type(row) for row in rows), tuple(statement.sql for statement in also))
    with database.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(sql, params)
    for row in rows:
        row._state.adding = False
        row._state.db = DEFAULT_DB_ALIAS


def update_row(row: models.Model, *fields: str) -> None:
    """Save `fields` of a row that is there, by its primary key: `save(update_fields=…)` with a prepared statement.

    In a table by month, the row is looked for in its month alone.

    No signal is sent, so it is for rows whose changes receipts record. Columns that the database generates are read
    anew when they are asked for. Raises `django.db.DatabaseError` when the row is gone.
    """
    refuse_while_reading(type(row).__name__)
    database = connections[DEFAULT_DB_ALIAS]
    changed = _columns_named(type(row), fields)
    params = [field.get_db_prep_save(field.pre_save(row, False), database) for field in changed]
    with database.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(
            _update_sql(type(row), fields), [*params, *(getattr(row, key.attname) for key in _keys(type(row)))]
        )
        if cursor.rowcount != 1:
            raise DatabaseError(f"{type(row).__name__} {row.pk} is not there to be changed.")
    for field in row._meta.local_concrete_fields:
        if field.generated:
            row.__dict__.pop(field.attname, None)


@lru_cache(maxsize=256)
def _update_sql(model: type[models.Model], fields: tuple[str, ...]) -> str:
    quote = connection.ops.quote_name
    changed = _columns_named(model, fields)
    pairs = [
        f"{quote(str(field.column))} = ${number}::{field.cast_db_type(connection)}"
        for number, field in enumerate([*changed, *_keys(model)], start=1)
    ]
    named = " AND ".join(pairs[len(changed) :])
    return f"UPDATE {quote(model._meta.db_table)} SET {', '.join(pairs[: len(changed)])} WHERE {named}"


@lru_cache(maxsize=256)
def _keys(model: type[models.Model]) -> list[models.Field[Any, Any]]:
    """The primary key, and in a table that goes by the month of another row, that row's."""
    month_field = getattr(model, "month_field", "")
    return [model._meta.pk, *_columns_named(model, (month_field,) if month_field else ())]


@lru_cache(maxsize=256)
def _columns_named(model: type[models.Model], fields: tuple[str, ...]) -> list[models.Field[Any, Any]]:
    return [field for field in map(model._meta.get_field, fields) if isinstance(field, models.Field)]


@lru_cache(maxsize=256)
def _together(inserted: tuple[type[models.Model], ...], also: tuple[str, ...]) -> str:
    """The text of one statement: it is the same whenever rows of the same models are written together."""
    parts = [f"r{number} AS ({_insert_sql(model)})" for number, model in enumerate(inserted)]
    parts += [f"s{number} AS MATERIALIZED ({sql})" for number, sql in enumerate(also)]
    selects = " UNION ALL ".join(f"SELECT count(*) FROM s{number}" for number in range(len(also))) or "SELECT 1"
    first, *rest = f"WITH {', '.join(parts)} {selects}".split("%s")
    return first + "".join(f"${number}{text}" for number, text in enumerate(rest, start=1))


def _insert_sql(model: type[models.Model]) -> str:
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in _columns(model))
    values = ", ".join(_placeholder(field) for field in _columns(model))
    return f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({values})"


def _columns(model: type[models.Model]) -> list[models.Field[Any, Any]]:
    return [field for field in model._meta.local_concrete_fields if not field.generated]


def _placeholder(field: models.Field[Any, Any]) -> str:
    """Inside `WITH`, PostgreSQL does not infer parameter types from the column, so say it."""
    return f"%s::{field.cast_db_type(connection)}"
