"""Migrations that an upgrade would apply, and what they cost on this database."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.postgres.operations import AddIndexConcurrently, ValidateConstraint
from django.db import connection, transaction
from django.db.migrations import operations
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.migration import Migration
from django.db.migrations.state import ProjectState

from threada_site.database.migration_safety import COMPATIBLE, unsafe_parts
from threada_site.tenancy.instance_models import SchemaMigration

_SAMPLE_ROWS: Final = 50_000
_LEAST_S: Final = 0.1
"""Time of an operation that reads no rows: a short lock and a few rows of the catalogue."""


@dataclass(frozen=True, slots=True)
class PendingMigration:
    """A migration to apply. `seconds`: estimate for the rows of now; None if nothing says how many rows it changes.

    `unsafe`: what blocks requests or breaks running code, according to the rules for migrations.
    """

    name: str
    is_compatible: bool
    seconds: float | None
    rows: int
    unsafe: list[str]


def pending_migrations() -> list[PendingMigration]:
    """Return the migrations of this code that are not applied, in order."""
    executor = MigrationExecutor(connection)
    plan = [migration for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    if not plan:
        return []
    state = executor.loader.project_state(
        [key for key in executor.loader.applied_migrations if key in executor.loader.graph.nodes], at_end=True
    )
    rate = _rows_a_second()
    found = []
    for migration in plan:
        rows = [_rows_read(operation, migration, state) for operation in migration.operations]
        known = [count for count in rows if count is not None]
        found.append(
            PendingMigration(
                f"{migration.app_label}.{migration.name}",
                is_compatible=bool(getattr(migration, COMPATIBLE, False)),
                seconds=round(sum(known) / rate + _LEAST_S * len(rows), 1) if len(known) == len(rows) else None,
                rows=sum(known),
                unsafe=unsafe_parts(migration, state),
            )
        )
        state = migration.mutate_state(state, preserve=True)
    return found


def version_before() -> str:
    """Return the newest version that has migrated this database; empty if it is not recorded."""
    if SchemaMigration._meta.db_table not in connection.introspection.table_names():
        return ""
    versions = set(SchemaMigration.objects.values_list("version", flat=True))
    return max(versions, key=lambda version: [int(number) for number in re.findall(r"\d+", version)], default="")


def _rows_read(operation: Any, migration: Migration, state: ProjectState) -> int | None:
    """Return the number of rows that an operation reads or writes; None if the operation does not say."""
    if isinstance(operation, operations.RunPython | operations.RunSQL):
        table = getattr(getattr(operation, "code", operation), "table", None)
        return _rows(table) if table else None
    if not isinstance(
        operation,
        AddIndexConcurrently
        | ValidateConstraint
        | operations.AddIndex
        | operations.AddConstraint
        | operations.AlterField
        | operations.AddField,
    ):
        return 0
    name = str(getattr(operation, "model_name_lower", "") or operation.model_name.lower())
    model = state.models.get((migration.app_label, name))
    builds_index = not isinstance(operation, operations.AddField) or getattr(operation.field, "db_index", False)
    if model is None or not builds_index:
        return 0
    return _rows(model.options.get("db_table") or f"{migration.app_label}_{name}")


def _rows(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint FROM pg_class c WHERE c.relkind = 'r' AND "
            "(c.oid = to_regclass(%s) OR c.oid IN (SELECT relid FROM pg_partition_tree(to_regclass(%s))))",
            [table, table],
        )
        return int(cursor.fetchone()[0])


def _rows_a_second() -> float:
    """Return how many rows this server sorts in a second, as it does to build an index."""
    with transaction.atomic(), connection.cursor() as cursor:
        began = time.perf_counter()
        cursor.execute(
            "SELECT count(*) FROM (SELECT md5(g::text) FROM generate_series(1, %s) g ORDER BY 1) s", [_SAMPLE_ROWS]
        )
        cursor.fetchone()
        return _SAMPLE_ROWS / max(time.perf_counter() - began, 0.001)


def lines(pending: list[PendingMigration]) -> Iterator[str]:
    """Yield the pending migrations as text."""
    for migration in pending:
        cost = "unknown duration" if migration.seconds is None else f"about {migration.seconds:g} s"
        effect = "running code may stay" if migration.is_compatible else "stop the older processes first"
        yield f"  {migration.name}: {cost} ({migration.rows} rows), {effect}"
        yield from (f"    unsafe: {part}" for part in migration.unsafe)
