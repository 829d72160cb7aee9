"""States of the schema that this code knows: the first that can be upgraded, and its own.

`first.txt.gz` was recorded from the first state and never changes. `current.txt` is written by `manage.py
write_schema`. Imports no Django.
"""

from __future__ import annotations

import gzip
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path
from typing import Any, Final

from threada_site.tenancy.schema.fingerprint import differences, missing_columns, normalized, schema_lines

CURRENT: Final = Path(__file__).parent / "current.txt"
_FIRST: Final = Path(__file__).parent / "first.txt.gz"
_EARLIER: Final = (
    "This database is of a state before the first one of Threada 0.2.0 that can be upgraded, or was changed by hand: "
    "{said}. Nothing was changed. With the version that made it, run manage.py export_config DIR --tenant SLUG for "
    "each tenant, and apply the files to a new instance."
)

type Migrations = AbstractSet[tuple[str, str]]


@cache
def first_lines() -> tuple[str, ...]:
    """Return the lines of the first state that can be upgraded."""
    return tuple(normalized(line) for line in _first_file() if not line.startswith("migration "))


@cache
def first_migrations() -> frozenset[tuple[str, str]]:
    """Return application and name of each migration of the first state, with those of libraries."""
    names = (line.removeprefix("migration ") for line in _first_file() if line.startswith("migration "))
    return frozenset((app, name) for app, _, name in (each.partition(".") for each in names))


def current_lines() -> list[str]:
    """Return the lines of the schema that this code's migrations make."""
    return [normalized(line) for line in CURRENT.read_text(encoding="utf-8").splitlines()]


def earlier_state_problem(cursor: Any, *, known: Migrations) -> str | None:
    """Return why this database cannot be upgraded, with what to do, or None if it can, or is newer, or is new.

    `known`: the migrations of this code. The whole schema is compared if exactly the migrations of the first state are
    applied. In the middle of an upgrade, and for migrations that this code does not contain, the columns of the first
    state must exist. A database without a tenant may be one whose first installation was interrupted.
    """
    applied = _applied(cursor)
    if not applied or applied == known:
        return None
    found = schema_lines(cursor)
    if applied == first_migrations():
        said = differences(found, first_lines())
    else:
        said = [f"{name} is missing" for name in missing_columns(found, first_lines())]
        if said and applied < known and not _has_tenants(cursor):
            return None
    return _EARLIER.format(said=_shortened(said)) if said else None


def current_state_problem(cursor: Any, *, known: Migrations) -> str | None:
    """Return how the schema differs from that of this code, with what to do, or None.

    None as well if migrations are missing, or newer than this code.
    """
    if _applied(cursor) != known:
        return None
    said = differences(schema_lines(cursor), current_lines())
    if not said:
        return None
    return (
        f"The schema is not that of this version, although all its migrations are applied: {_shortened(said)}. The "
        "database was made by an earlier state of Threada 0.2.0, or was changed by hand. Undo the change or restore a "
        "backup; otherwise export the configuration with the version that made the database (manage.py export_config "
        "DIR --tenant SLUG), and apply it to a new instance."
    )


@cache
def _first_file() -> tuple[str, ...]:
    return tuple(gzip.decompress(_FIRST.read_bytes()).decode().splitlines())


def _applied(cursor: Any) -> frozenset[tuple[str, str]]:
    cursor.execute("SELECT to_regclass('public.django_migrations') IS NOT NULL")
    if not cursor.fetchone()[0]:
        return frozenset()
    cursor.execute("SELECT app, name FROM public.django_migrations")
    return frozenset((app, name) for app, name in cursor.fetchall())


def _has_tenants(cursor: Any) -> bool:
    cursor.execute("SELECT to_regclass('public.tenancy_tenant') IS NOT NULL")
    if not cursor.fetchone()[0]:
        return False
    cursor.execute("SELECT EXISTS (SELECT FROM public.tenancy_tenant)")
    return bool(cursor.fetchone()[0])


def _shortened(said: list[str]) -> str:
    return "; ".join(said[:3]) + (f"; and {len(said) - 3} more" if len(said) > 3 else "")
