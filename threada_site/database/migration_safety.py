"""Rules for migrations that run while code of the version before them serves requests.

A migration is unsafe if it blocks requests for as long as it takes, or if code without it fails afterwards. One that
must break older code says so (`compatible_with_running_code = False`); an upgrade to it needs the older processes
stopped. Initial migrations create an empty database and are exempt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    RemoveIndexConcurrently,
)
from django.db import connection, models
from django.db.migrations import operations
from django.db.migrations.migration import Migration
from django.db.migrations.state import ProjectState

COMPATIBLE: Final = "compatible_with_running_code"
"""Attribute of a migration: True if code without it may continue to run."""
_BREAKS: Final = (
    operations.RemoveField,
    operations.RenameField,
    operations.DeleteModel,
    operations.RenameModel,
    operations.AlterModelTable,
)
_UNSAFE_SQL: Final = {
    r"\bCREATE\s+(UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY)": "creates an index without CONCURRENTLY",
    r"\bDROP\s+INDEX\s+(?!CONCURRENTLY)": "drops an index without CONCURRENTLY",
    r"\bLOCK\s+TABLE\b": "locks a table",
    r"\bALTER\s+COLUMN\s+\S+\s+(SET\s+DATA\s+)?TYPE\b": "changes the type of a column",
    r"\bSET\s+NOT\s+NULL\b": "reads the whole table under a lock (SET NOT NULL)",
    r"\bADD\s+(CONSTRAINT|CHECK|FOREIGN\s+KEY|UNIQUE|PRIMARY\s+KEY|EXCLUDE)\b(?![^;]*\bNOT\s+VALID\b)": (
        "adds a constraint without NOT VALID"
    ),
    r"\b(UPDATE\s+\w+\s+SET|DELETE\s+FROM)\b": "changes all rows in one transaction",
    r"\b(VACUUM\s+FULL|CLUSTER|REFRESH\s+MATERIALIZED\s+VIEW\s+(?!CONCURRENTLY))\b": "rewrites a table under a lock",
}
_BREAKING_SQL: Final = r"\b(DROP\s+(TABLE|COLUMN|FUNCTION|VIEW)|RENAME\s+(?!CONSTRAINT)\w+)\b"


def unsafe_parts(migration: Migration, before: ProjectState) -> list[str]:
    """Return a sentence for each part of the migration that is unsafe. `before`: the models before it.

    Pure, apart from the types of columns, which the backend of the connection names.
    """
    if migration.initial or (migration.initial is None and not migration.dependencies):
        return []
    return [f"{migration.app_label}.{migration.name}: {part}" for part in _parts(migration, before)]


def _parts(migration: Migration, before: ProjectState) -> Iterator[str]:
    is_compatible = getattr(migration, COMPATIBLE, None)
    if not isinstance(is_compatible, bool):
        yield f"Say in {COMPATIBLE} if code without it may continue to run (True or False)."
    state = before.clone()
    flat = [part for operation in migration.operations for part in _on_the_database(operation)]
    new = {operation.name_lower for operation in flat if isinstance(operation, operations.CreateModel)}
    kinds = {type(operation) for operation in flat}
    if operations.RunPython in kinds and len(kinds) > 1:
        yield "RunPython stands beside changes of the schema, whose locks it then holds. Put it into its own migration."
    for operation in migration.operations:
        for part in _on_the_database(operation):
            if getattr(part, "model_name_lower", None) not in new:
                yield from _unsafe(part, migration, state)
                if is_compatible and (breaking := _breaking(part)):
                    yield f"{breaking}, which code without this migration still uses. It is not compatible with it."
        operation.state_forwards(migration.app_label, state)


def _on_the_database(operation: Any) -> list[Any]:
    """Return the operations that change the database when `operation` is applied."""
    if isinstance(operation, operations.SeparateDatabaseAndState):
        return [part for inner in operation.database_operations for part in _on_the_database(inner)]
    return [operation]


def _unsafe(operation: Any, migration: Migration, state: ProjectState) -> Iterator[str]:
    match operation:
        case operations.AddField():
            yield from _unsafe_field(operation)
        case operations.AlterField():
            yield from _unsafe_change(operation, migration, state)
        case operations.RunPython():
            if migration.atomic or not getattr(operation.code, "batch_size", 0):
                yield (
                    "RunPython changes rows in one transaction. Set atomic = False, change batches in transactions of "
                    "their own, and give the function a batch_size."
                )
        case operations.RunSQL():
            text = _sql(operation)
            for pattern, what in _UNSAFE_SQL.items():
                if re.search(pattern, text, re.IGNORECASE | re.DOTALL):
                    yield f"RunSQL {what}."
        case _:
            yield from _unsafe_index(operation, migration)


def _unsafe_index(operation: Any, migration: Migration) -> Iterator[str]:
    match operation:
        case AddIndexConcurrently() | RemoveIndexConcurrently():
            if migration.atomic:
                yield f"{operation.describe()}: CONCURRENTLY needs atomic = False."
        case AddConstraintNotValid():
            return
        case operations.AddIndex() | operations.RemoveIndex():
            yield f"{operation.describe()}: use {type(operation).__name__}Concurrently, which does not block writing."
        case operations.AddConstraint():
            yield f"{operation.describe()}: use AddConstraintNotValid, and ValidateConstraint in the next migration."
        case operations.AlterUniqueTogether() | operations.AlterOrderWithRespectTo():
            yield f"{operation.describe()}: blocks the table while it is built. Build an index concurrently first."


def _unsafe_field(operation: operations.AddField) -> Iterator[str]:
    field = operation.field
    if not field.null and not field.has_db_default() and not field.many_to_many:
        yield (
            f"{operation.describe()}: code without this migration inserts rows without the column. Allow null, or set "
            "db_default."
        )
    if field.unique or _has_index(field):
        yield f"{operation.describe()}: its index blocks writing while it is built. Add the index concurrently later."


def _unsafe_change(operation: operations.AlterField, migration: Migration, state: ProjectState) -> Iterator[str]:
    old = state.models[migration.app_label, operation.model_name_lower].fields[operation.name]
    new = operation.field
    before, after = _column(old), _column(new)
    if before != after and not _is_widened(before, after):
        yield f"{operation.describe()}: {before} becomes {after}, which rewrites the table. Add a new column instead."
    if old.null and not new.null:
        yield (
            f"{operation.describe()}: forbids null, which reads the whole table under a lock. Add a check constraint "
            "NOT VALID, and validate it."
        )
    if (new.unique or _has_index(new)) and not (old.unique or _has_index(old)):
        yield f"{operation.describe()}: its index blocks writing while it is built. Add the index concurrently."


def _breaking(operation: Any) -> str:
    if isinstance(operation, _BREAKS):
        return str(operation.describe())
    if isinstance(operation, operations.RunSQL) and re.search(_BREAKING_SQL, _sql(operation), re.IGNORECASE):
        return "RunSQL drops or renames something"
    return ""


def _sql(operation: operations.RunSQL) -> str:
    parts = operation.sql if isinstance(operation.sql, list | tuple) else [operation.sql]
    text = ";".join(part if isinstance(part, str) else str(part[0]) for part in parts)
    return re.sub(r"--[^\n]*|\$(\w*)\$.*?\$\1\$", " ", text, flags=re.DOTALL)  # comments and bodies of functions


def _has_index(field: Any) -> bool:
    return bool(field.db_index)


def _column(field: models.Field[Any, Any]) -> str:
    if field.is_relation:
        return "a reference"
    return str(field.db_type(connection))


def _is_widened(before: str, after: str) -> bool:
    sizes = [re.fullmatch(r"varchar\((\d+)\)", column) for column in (before, after)]
    if sizes[0] is None:
        return False
    return after == "text" or (sizes[1] is not None and int(sizes[1][1]) >= int(sizes[0][1]))
