"""GRANT and REVOKE statements for all tables, run after every migration so that new tables are covered at once."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import transaction

from threada_site.database.constraints import AppendOnly
from threada_site.database.protected_columns import (
    KEPT_TABLES,
    OPERATOR_ROWS,
    OPERATOR_ROWS_POLICY,
    PLATFORM_TABLES,
    is_web_apart,
    protected_columns,
)
from threada_site.database.role_names import APP, PLATFORM, PLATFORM_LOGIN


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
    """Grant the logins and the platform role access to all tables. Run as the owner. Idempotent.

    Revokes UPDATE and DELETE on append-only tables, everything on partitions, and what `protected_columns` lists from
    the web's login.
    """
    present = set(connection.introspection.table_names())
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_roles WHERE rolname = %s", [PLATFORM_LOGIN])
        logins = ", ".join([APP, *(name for (name,) in cursor.fetchall())])
        cursor.execute(f"GRANT USAGE ON SCHEMA public TO {logins}, {PLATFORM}")
        cursor.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {logins}, {PLATFORM}")
        cursor.execute(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {logins}, {PLATFORM}")
        for table in append_only_tables():
            if table in present:
                cursor.execute(f'REVOKE UPDATE, DELETE, TRUNCATE ON "{table}" FROM {logins}')
        for partition in partitions(connection):
            cursor.execute(f'REVOKE ALL ON "{partition}" FROM {logins}, {PLATFORM}')
        is_apart = is_web_apart(connection)
        if is_apart:
            _protect(connection, present)
        for table in OPERATOR_ROWS.keys() & present:
            _reserve_operator_rows(cursor, table, is_apart=is_apart)


def _protect(connection: Any, present: set[str]) -> None:
    """Revoke from the web's login what no web request changes."""
    append_only = set(append_only_tables())
    with connection.cursor() as cursor:
        for table in PLATFORM_TABLES:
            if table in present:
                cursor.execute(f'REVOKE INSERT, UPDATE, DELETE ON "{table}" FROM {APP}')
        for table in KEPT_TABLES:
            if table in present:
                cursor.execute(f'REVOKE DELETE ON "{table}" FROM {APP}')
        for table, protected in protected_columns(connection).items():
            if table in append_only:
                continue
            columns = [column.name for column in connection.introspection.get_table_description(cursor, table)]
            others = ", ".join(f'"{name}"' for name in columns if name not in protected)
            cursor.execute(f'REVOKE UPDATE ON "{table}" FROM {APP}')
            if others:
                cursor.execute(f'GRANT UPDATE ({others}) ON "{table}" TO {APP}')


def _reserve_operator_rows(cursor: Any, table: str, *, is_apart: bool) -> None:
    """Refuse rows of the operator that the web's login inserts. Where one login serves all processes, allow them."""
    cursor.execute(f'DROP POLICY IF EXISTS {OPERATOR_ROWS_POLICY} ON "{table}"')
    if is_apart:
        cursor.execute(
            f'CREATE POLICY {OPERATOR_ROWS_POLICY} ON "{table}" AS RESTRICTIVE FOR INSERT '
            f"WITH CHECK ({OPERATOR_ROWS[table]} IS NOT NULL OR current_user <> '{APP}')"
        )
