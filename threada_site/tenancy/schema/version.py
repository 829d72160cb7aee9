"""Comparison of the migrations in the database with those of this code.

When migrations are applied, each is recorded with its compatibility: code that does not contain a migration cannot
import it, and reads there if it may still run.
"""

from __future__ import annotations

import pkgutil
from contextlib import nullcontext
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from threada_site.database.migration_safety import COMPATIBLE
from threada_site.tenancy.instance_models import SchemaMigration
from threada_site.tenancy.schema.states import current_state_problem, earlier_state_problem


class NewerMigration(NamedTuple):
    """Applied migration that this code does not contain. `version`: of the code that applied it; empty if unknown."""

    name: str
    is_compatible: bool
    version: str


def newer_migrations() -> list[NewerMigration]:
    """Return the applied migrations that this code does not contain."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_regclass('django_migrations') IS NOT NULL, to_regclass(%s) IS NOT NULL",
            [SchemaMigration._meta.db_table],
        )
        has_migrations, has_records = cursor.fetchone()
        if not has_migrations:
            return []
        cursor.execute("SELECT app, name FROM django_migrations ORDER BY id")
        unknown = [row for row in cursor.fetchall() if tuple(row) not in known_migrations()]
    if not unknown:
        return []
    records = {row.name: row for row in SchemaMigration.objects.all()} if has_records else {}
    found = [(f"{app}.{name}", records.get(f"{app}.{name}")) for app, name in unknown]
    return [
        NewerMigration(name, bool(record and record.is_compatible), record.version if record else "")
        for name, record in found
    ]


def missing_migrations() -> list[str]:
    """Return the migrations of this code that are not applied."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('django_migrations') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return sorted(f"{app}.{name}" for app, name in known_migrations())
        cursor.execute("SELECT app, name FROM django_migrations")
        applied = {tuple(row) for row in cursor.fetchall()}
    return sorted(f"{app}.{name}" for app, name in known_migrations() - applied)


def newer_schema_problem() -> str | None:
    """Return why this code must not run on a schema of newer code, with what to do, or None if it may."""
    blocking = [migration for migration in newer_migrations() if not migration.is_compatible]
    if not blocking:
        return None
    earlier = earlier_schema_problem()
    if earlier:
        return earlier
    names = ", ".join(migration.name for migration in blocking[:3]) + (" and others" if len(blocking) > 3 else "")
    version = max((migration.version for migration in blocking), default="")
    return (
        f"The schema is newer than this code ({settings.THREADA_VERSION}) and not compatible with it: {names}. Run "
        f"Threada {version or 'of the newer version'} here, or restore a backup from before the upgrade."
    )


def earlier_schema_problem() -> str | None:
    """Return why this database cannot be upgraded, with what to do, or None if it can."""
    with connection.cursor() as cursor:
        return earlier_state_problem(cursor, known=known_migrations())


def schema_problem(cursor: Any = None) -> str | None:
    """Return why this version can neither use nor upgrade the schema, with what to do, or None.

    `cursor`: of another database than that of this instance. Reads the whole catalog, which takes half a second.
    """
    with nullcontext(cursor) if cursor else connection.cursor() as reader:
        return earlier_state_problem(reader, known=known_migrations()) or current_state_problem(
            reader, known=known_migrations()
        )


def record_migrations() -> None:
    """Record applied migrations of this code that are not recorded yet. Called as the owner after `migrate`."""
    if SchemaMigration._meta.db_table not in connection.introspection.table_names():
        return
    recorded = set(SchemaMigration.objects.values_list("name", flat=True))
    loader = MigrationLoader(connection)
    applied = MigrationRecorder(connection).applied_migrations()
    SchemaMigration.objects.bulk_create(
        SchemaMigration(
            name=f"{app}.{name}",
            is_compatible=bool(getattr(migration, COMPATIBLE, False)),
            version=settings.THREADA_VERSION,
        )
        for (app, name), migration in loader.disk_migrations.items()
        if (app, name) in applied and f"{app}.{name}" not in recorded
    )


@cache
def known_migrations() -> frozenset[tuple[str, str]]:
    """Return app and name of every migration of this code. Reads names of files and imports no migration."""
    found = set()
    for app in apps.get_app_configs():
        module = settings.MIGRATION_MODULES.get(app.label, f"{app.name}.migrations")
        try:
            package = import_module(module) if module else None
        except ModuleNotFoundError:
            continue
        entries = pkgutil.iter_modules(getattr(package, "__path__", []))
        # Like Django's loader: packages beside the migrations, and modules that begin with _, are none.
        found |= {(app.label, entry.name) for entry in entries if not entry.ispkg and entry.name[0] not in "_~"}
    return frozenset(found)
