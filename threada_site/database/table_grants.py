"""GRANT and REVOKE statements for all tables, run after every migration so that new tables are covered at once."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import transaction

from threada_site.database.constraints import AppendOnly
from threada_site.database.roles import APP, PLATFORM


def append_only_tables() -> list[str]:
    """Return the tables of models with `AppendOnly`."""
    return [
        model._meta.db_table
        for model in apps.get_models()
        if any(isinstance(constraint, AppendOnly) for constraint in model._meta.constraints)
    ]


def partitions(connection: Any) -> list[str]:
    """Return the partitions of all tables. Only the owner accesses them by name; others use their tables."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' "
            "AND relnamespace = 'public'::regnamespace"
        )
        return [name for (name,) in cursor.fetchall()]


def grant_tables(connection: Any) -> None:
    """Grant the login and the platform role access to all tables. Run as the owner. Idempotent.

    Revokes UPDATE and DELETE on append-only tables, and everything on partitions.
    """
    present = set(connection.introspection.table_names())
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"GRANT USAGE ON SCHEMA public TO {APP}, {PLATFORM}")
        cursor.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {APP}, {PLATFORM}")
        cursor.execute(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {APP}, {PLATFORM}")
        for table in append_only_tables():
            if table in present:
                cursor.execute(f'REVOKE UPDATE, DELETE, TRUNCATE ON "{table}" FROM {APP}')
        for partition in partitions(connection):
            cursor.execute(f'REVOKE ALL ON "{partition}" FROM {APP}, {PLATFORM}')
