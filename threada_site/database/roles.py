"""The PostgreSQL roles. The login owns nothing; owner and platform are taken explicitly, for one block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from threada_site.database.role_names import APP, OWNER, PLATFORM

__all__ = ["APP", "OWNER", "PLATFORM", "may_take", "owner_role", "platform_role"]


@contextmanager
def platform_role() -> Iterator[None]:
    """Open a transaction that sees the rows of all tenants. Only for sweeps, sealing and retention.

    The role is LOCAL to the transaction and reset even if the transaction is nested in that of a test.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {PLATFORM}")
        try:
            yield
        finally:
            if not connection.needs_rollback:
                cursor.execute("SET LOCAL ROLE NONE")


def may_take(role: str) -> bool:
    """Return True if this login is a member of `role`. The web's login is a member of none if other processes have
    their own."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_has_role(session_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = %s", [role])
        row = cursor.fetchone()
    return bool(row and row[0])


@contextmanager
def owner_role() -> Iterator[None]:
    """Make the session that of the schema's owner, for `migrate` and `flush`. Reset at the end, also after an error."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {OWNER}")
    try:
        yield
    finally:
        if connection.connection is not None and not connection.needs_rollback:
            with connection.cursor() as cursor:
                cursor.execute("RESET ROLE")
