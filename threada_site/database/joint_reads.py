"""Several querysets read by one statement: a page of one row needs lists from many tables.

Every list keeps its own conditions, order and limit, and row-level security applies to each. The statement saves round
trips, and all lists come from one snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg
from django.core.exceptions import EmptyResultSet
from django.db.models import QuerySet
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

from threada_site.database.router import read_alias, read_connection


def fetch_together(*querysets: QuerySet[Any] | None) -> None:
    """Evaluate querysets, none of which is evaluated yet, by one statement. None is skipped.

    Each given object then contains its rows, like after `len(rows)`. Related rows of `prefetch_related` take statements
    of their own.
    """
    compiled = [part for rows in querysets if rows is not None and (part := _compiled(rows)) is not None]
    if compiled:
        for (rows, compiler, _sql), found in zip(compiled, _read([sql for _, _, sql in compiled]), strict=True):
            _fill(rows, compiler, found)


def _compiled(rows: QuerySet[Any]) -> tuple[QuerySet[Any], Any, str] | None:
    """Return queryset, compiler and SQL with its values; None for a queryset that is empty without a statement."""
    connection = read_connection()
    compiler = rows.query.get_compiler(using=read_alias())
    try:
        sql, values = compiler.as_sql()
    except EmptyResultSet:
        _fill(rows, compiler, [])
        return None
    connection.ensure_connection()
    return rows, compiler, psycopg.ClientCursor(connection.connection).mogrify(sql, values)


def _read(parts: Sequence[str]) -> tuple[list[tuple[Any, ...]], ...]:
    """Return the rows of each part. Their order is that of the part."""
    with read_connection().binary_cursor() as cursor:
        for name, loader in _LOADERS.items():
            cursor.adapters.register_loader(name, loader)
        cursor.execute("SELECT " + ", ".join(f"ARRAY(SELECT ROW(part.*) FROM ({sql}) part)" for sql in parts))
        found: tuple[list[tuple[Any, ...]], ...] = cursor.fetchone()
    return found


def _fill(rows: QuerySet[Any], compiler: Any, found: list[tuple[Any, ...]]) -> None:
    """Build the objects of a queryset from its rows, as Django does."""
    compiler.execute_sql = lambda *_args, **_options: [found]
    query = rows.query
    query.get_compiler = lambda *_args, **_options: compiler  # type: ignore[method-assign]
    try:
        len(rows)
    finally:
        del query.__dict__["get_compiler"]


class _AsText(Loader):
    """JSON as text, as Django's fields expect it."""

    format = Format.BINARY

    def load(self, data: Buffer) -> str:
        return bytes(data).decode()


class _JsonbAsText(_AsText):
    """As `_AsText`, without the number of the format before the text."""

    def load(self, data: Buffer) -> str:
        return bytes(data)[1:].decode()


class _AsBytes(Loader):
    """Bytes of their own instead of a view of the answer."""

    format = Format.BINARY

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


_LOADERS: Final = {"json": _AsText, "jsonb": _JsonbAsText, "bytea": _AsBytes}
