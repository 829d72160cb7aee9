"""One snapshot of a tenant's rows, and streams of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from django.db import connection, transaction

from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work

ROWS_AT_ONCE: Final = 2_000


@contextmanager
def snapshot(tenant_id: uuid.UUID) -> Iterator[None]:
    """Open a unit of work that sees one consistent snapshot, regardless of later commits.

    Inside an open transaction (a test) it sees the same rows as that transaction.
    """
    with _one_instant(), unit_of_work(tenant_id):
        yield


@contextmanager
def instance_snapshot() -> Iterator[None]:
    """Open a snapshot of the rows of all tenants and of the instance."""
    with _one_instant(), platform_role():
        yield


@contextmanager
def _one_instant() -> Iterator[None]:
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def stream(query: str, parameters: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query through a server-side cursor. Several streams can be open at once."""
    with connection.cursor():
        own = connection.connection
    with own.cursor(name=f"verify_{uuid.uuid4().hex}") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(query, parameters, binary=True)
        yield from cursor
