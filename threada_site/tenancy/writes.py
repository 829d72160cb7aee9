"""Several rows in one round trip.

A request's time goes mostly to statements, so the rows that belong together (a work item, its evidence, its receipt,
the queue row, the job) are inserted by one statement: a `WITH` of plain INSERTs that Django's own fields prepare.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from django.db import connection, models


class Statement(NamedTuple):
    """SQL that returns at least one row, and its parameters: something else to run in the same round trip."""

    sql: str
    params: tuple[Any, ...]


def insert_together(rows: Sequence[models.Model], *, also: Sequence[Statement] = ()) -> None:
    """Insert `rows` (of any models, ids set by their defaults) and run `also`, in one statement.

    Foreign keys among them hold: constraints are checked at its end. Raises `django.db.IntegrityError` as `save` does.
    """
    parts: list[str] = []
    params: list[Any] = []
    for number, row in enumerate(rows):
        sql, fields = _insert_sql(type(row))
        parts.append(f"r{number} AS ({sql})")
        params += [field.get_db_prep_save(field.pre_save(row, True), connection) for field in fields]
    for number, statement in enumerate(also):
        parts.append(f"s{number} AS MATERIALIZED ({statement.sql})")
        params += statement.params
    if not parts:
        return
    selects = " UNION ALL ".join(f"SELECT count(*) FROM s{number}" for number in range(len(also))) or "SELECT 1"
    with connection.cursor() as cursor:
        cursor.execute(f"WITH {', '.join(parts)} {selects}", params)
    for row in rows:
        row._state.adding = False
        row._state.db = connection.alias


@lru_cache
def _insert_sql(model: type[models.Model]) -> tuple[str, tuple[models.Field[Any, Any], ...]]:
    quote = connection.ops.quote_name
    fields = tuple(model._meta.local_concrete_fields)
    columns = ", ".join(quote(str(field.column)) for field in fields)
    values = ", ".join(_placeholder(field) for field in fields)
    return f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({values})", fields


def _placeholder(field: models.Field[Any, Any]) -> str:
    """Inside `WITH`, PostgreSQL does not infer parameter types from the column, so say it."""
    return f"%s::{field.cast_db_type(connection)}"
