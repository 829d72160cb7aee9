"""Statements that write rows of the same kind together: one text for any number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django.db import connection, models


@lru_cache(maxsize=256)
def sets_together(
    inserted: tuple[tuple[type[models.Model], bool], ...],
    changed: tuple[tuple[type[models.Model], tuple[str, ...]], ...],
    also: tuple[str, ...],
) -> str:
    """Return the text of one statement for any number of rows of these kinds.

    The statement returns how many rows each UPDATE found, then one count for each statement of `also`.
    """
    quote = connection.ops.quote_name
    parts = []
    for number, (model, ignore_conflicts) in enumerate(inserted):
        fields = columns(model)
        names = ", ".join(quote(str(field.column)) for field in fields)
        on_conflict = " ON CONFLICT DO NOTHING" if ignore_conflicts else ""
        parts.append(
            f"r{number} AS (INSERT INTO {quote(model._meta.db_table)} ({names}) "
            f"SELECT {', '.join(_set_values(fields))} FROM {_set_source(fields)}{on_conflict})"
        )
    for number, (model, changed_names) in enumerate(changed):
        fields = [*columns_named(model, changed_names), model._meta.pk]
        values = _set_values(fields)
        pairs = ", ".join(
            f"{quote(str(field.column))} = {value}" for field, value in zip(fields[:-1], values[:-1], strict=True)
        )
        parts.append(
            f"u{number} AS (UPDATE {quote(model._meta.db_table)} t SET {pairs} FROM {_set_source(fields)} "
            f"WHERE t.{quote(str(model._meta.pk.column))} = {values[-1]} RETURNING 1)"
        )
    parts += [f"s{number} AS MATERIALIZED ({sql})" for number, sql in enumerate(also)]
    counted = [f"u{number}" for number in range(len(changed))] + [f"s{number}" for number in range(len(also))]
    counts = ", ".join(f"(SELECT count(*) FROM {name})" for name in counted) or "1"
    first, *rest = f"WITH {', '.join(parts)} SELECT {counts}".split("%s")
    return first + "".join(f"${number}{text}" for number, text in enumerate(rest, start=1))


def as_columns(fields: Sequence[models.Field[Any, Any]], rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return one array for each field. Arrays inside become texts, because `unnest` would take them apart."""
    arrays = []
    for position, field in enumerate(fields):
        values = [row[position] for row in rows]
        if _is_array(field):
            values = [None if value is None else _array_text(value) for value in values]
        arrays.append([str.__str__(value) if isinstance(value, str) else value for value in values])
    return arrays


def _array_text(values: Sequence[Any]) -> str:
    return "{" + ",".join("NULL" if value is None else f'"{_escaped(str(value))}"' for value in values) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


@lru_cache(maxsize=1024)
def _is_array(field: models.Field[Any, Any]) -> bool:
    return str(field.cast_db_type(connection)).endswith("[]")


def _set_source(fields: Sequence[models.Field[Any, Any]]) -> str:
    arrays = ", ".join(
        "%s::text[]" if _is_array(field) else f"%s::{field.cast_db_type(connection)}[]" for field in fields
    )
    return f"unnest({arrays}) AS v ({', '.join(f'c{number}' for number in range(len(fields)))})"


def _set_values(fields: Sequence[models.Field[Any, Any]]) -> list[str]:
    return [
        f"v.c{number}::{field.cast_db_type(connection)}" if _is_array(field) else f"v.c{number}"
        for number, field in enumerate(fields)
    ]


@lru_cache(maxsize=256)
def columns_named(model: type[models.Model], fields: tuple[str, ...]) -> list[models.Field[Any, Any]]:
    return [field for field in map(model._meta.get_field, fields) if isinstance(field, models.Field)]


def columns(model: type[models.Model]) -> list[models.Field[Any, Any]]:
    return [field for field in model._meta.local_concrete_fields if not field.generated]
