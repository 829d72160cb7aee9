"""Rows of an export: read into temporary tables, checked, given the numbers of this instance, and inserted.

They are inserted under row-level security, so that no row can become another tenant's.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

import psycopg
from django.contrib.auth.models import Group
from django.db import connection, models
from psycopg import sql

from threada_site.kernel import errors
from threada_site.runtime.backup.archive import Backup, BackupDamaged
from threada_site.runtime.backup.tenant_export import exported_tables
from threada_site.tenancy.isolation_checks import tenant_models
from threada_site.tenancy.models import User

_NOT_INSERTED: Final = frozenset({"telemetry_summaryrollup", "tenancy_tenantquota"})
"""A trigger computes the sums. Quotas belong to the operator of this instance, and usage is counted again."""
_PRINCIPALS: Final = "import_principals"


def staged(table: str) -> sql.Identifier:
    """Return the temporary table with the rows for `table`."""
    return sql.Identifier(f"import_{table}"[:63])


def run(query: str, *names: sql.Composable, parameters: Any = None) -> list[tuple[Any, ...]]:
    """Execute a query with composed names, in the open transaction. Return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(query).format(*names), parameters)
        return cursor.fetchall() if cursor.description else []


def stage_rows(backup: Backup, *, tenant_id: uuid.UUID, principals: set[uuid.UUID], is_older: bool) -> None:
    """Read every table of the export into a temporary table, and check that all rows are of this tenant.

    `principals`: the ids that the export brings; rows may name no other account. `is_older`: an older version made the
    export. Tables that it lacks are empty then, and columns that it lacks get their default of the database, or NULL.
    Raise `BackupDamaged`.
    """
    run("CREATE TEMP TABLE {} (id uuid PRIMARY KEY) ON COMMIT DROP", sql.Identifier(_PRINCIPALS))
    run("INSERT INTO {} SELECT unnest(%s::uuid[])", sql.Identifier(_PRINCIPALS), parameters=[list(principals)])
    for model in _models():
        table = model._meta.db_table
        definition = "CREATE TEMP TABLE {} (LIKE {} INCLUDING DEFAULTS) ON COMMIT DROP"
        run(definition, staged(table), sql.Identifier(table))
        if not is_older or f"rows/{table}.csv" in backup.members:
            _copy(backup, table, is_older=is_older)
        if run("SELECT 1 FROM {} WHERE tenant_id <> %s LIMIT 1", staged(table), parameters=[tenant_id]):
            raise BackupDamaged(f"{backup.path}: rows/{table}.csv has rows of another tenant.")
        for field in model._meta.local_concrete_fields:
            if field.related_model is User and _names_strangers(table, field.attname):
                raise BackupDamaged(f"{backup.path}: rows/{table}.csv names an account that the export does not bring.")


def insert_rows() -> None:
    """Insert the staged rows. Raise `Conflict` if an id exists already in this instance."""
    for model in _models():
        table = model._meta.db_table
        if table in _NOT_INSERTED:
            continue
        columns = sql.SQL(", ").join(map(sql.Identifier, _columns(table, insertable=True)))
        try:
            run("INSERT INTO {} ({}) SELECT {} FROM {}", sql.Identifier(table), columns, columns, staged(table))
        except Exception as error:
            cause = error.__cause__
            if isinstance(cause, psycopg.errors.UniqueViolation):
                raise errors.Conflict(f"The instance has rows of {table} with ids of the export already.") from None
            if isinstance(cause, psycopg.errors.IntegrityError | psycopg.errors.DataError):
                raise BackupDamaged(f"rows/{table}.csv has rows that no instance writes: {cause}") from None
            raise


def give_groups(slug: str) -> dict[str, Group]:
    """Create the groups of the staged roles, with numbers of this instance. Return them by role."""
    made = {}
    for role_id, role in run("SELECT id, slug FROM {} ORDER BY slug", staged("tenancy_role")):
        made[role] = Group.objects.create(name=f"{slug}:{role}")
        run(
            "UPDATE {} SET group_id = %s WHERE id = %s",
            staged("tenancy_role"),
            parameters=[made[role].id, role_id],
        )
    return made


def forget_tokens() -> None:
    """Replace the digests of tokens by random ones: a token of the old instance opens nothing here."""
    run(
        "UPDATE {} SET token_sha256 = sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'))",
        staged("tenancy_credential"),
    )


def _models() -> list[type[models.Model]]:
    names = set(exported_tables())
    return sorted(
        (model for model in tenant_models() if model._meta.db_table in names), key=lambda found: found._meta.db_table
    )


def _copy(backup: Backup, table: str, *, is_older: bool) -> None:
    member = f"rows/{table}.csv"
    blocks = backup.blocks(member)
    first = next(blocks, b"")
    header = first.partition(b"\n")[0].decode(errors="replace").strip().split(",")
    known = _columns(table)
    if unknown := [name for name in header if name not in known]:
        raise BackupDamaged(f"{backup.path}: {member} has the column {unknown[0]!r}, which this version does not know.")
    needed = _columns(table, needed=True) if is_older else known
    if missing := [name for name in needed if name not in header]:
        raise BackupDamaged(f"{backup.path}: {member} lacks the column {missing[0]!r}, which has no default.")
    columns = sql.SQL(", ").join(map(sql.Identifier, header))
    query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, HEADER)").format(staged(table), columns)
    own = connection.connection
    try:
        with own.cursor() as cursor, cursor.copy(query) as copy:
            copy.write(first)
            for block in blocks:
                copy.write(block)
    except (psycopg.errors.DataError, psycopg.errors.IntegrityError) as error:
        raise BackupDamaged(f"{backup.path}: {member} cannot be read: {error}") from None


def _columns(table: str, *, insertable: bool = False, needed: bool = False) -> list[str]:
    """Return the columns of a table. `insertable`: without generated ones. `needed`: those without default or NULL."""
    rows = run(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped "
        "AND (NOT %s OR attgenerated = '') AND (NOT %s OR attnotnull AND NOT (atthasdef AND attgenerated = '')) "
        "ORDER BY attnum",
        parameters=[table, insertable, needed],
    )
    return [name for (name,) in rows]


def _names_strangers(table: str, column: str) -> bool:
    found = run(
        "SELECT 1 FROM {} r WHERE r.{} IS NOT NULL AND NOT EXISTS (SELECT FROM {} p WHERE p.id = r.{}) LIMIT 1",
        staged(table),
        sql.Identifier(column),
        sql.Identifier(_PRINCIPALS),
        sql.Identifier(column),
    )
    return bool(found)
