"""Comparison of the applied migrations with those of this code, for the sealer. No Django.

`threada_site.tenancy.schema.version` does the same for the other processes, with the migrations of all packages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import psycopg

from threada_site.tenancy.schema.states import earlier_state_problem

_ROOT: Final = Path(__file__).resolve().parents[3]
_FOLDERS: Final = {
    "api": "threada_site/api",
    "integrations": "integrations",
    "policies": "policies",
    "telemetry": "telemetry",
    "tenancy": "threada_site/tenancy",
    "workitems": "workitems",
}


class SchemaDoesNotFit(Exception):
    """The schema is newer than this code and not compatible with it, or not complete. The message says what to do."""


def own_migrations() -> frozenset[tuple[str, str]]:
    """Return application and name of each migration of the product."""
    return frozenset(
        (app, path.stem)
        for app, folder in _FOLDERS.items()
        for path in (_ROOT / folder / "migrations").glob("[0-9]*.py")
    )


def require_fitting_schema(connection: psycopg.Connection[Any]) -> None:
    """Raise `SchemaDoesNotFit` if the sealer must not run on this schema."""
    row = connection.execute(
        "SELECT to_regclass('django_migrations'), to_regclass('tenancy_schemamigration')"
    ).fetchone()
    has_migrations, has_records = row or (None, None)
    applied: set[tuple[str, str]] = set()
    if has_migrations:
        rows = connection.execute("SELECT app, name FROM django_migrations WHERE app = ANY(%s)", [list(_FOLDERS)])
        applied = set(rows)
    known = own_migrations()
    if has_migrations and applied != known and (problem := earlier_state_problem(connection.cursor(), known=known)):
        raise SchemaDoesNotFit(problem)
    compatible: set[str] = set()
    if has_records and applied - known:
        rows = connection.execute("SELECT name FROM tenancy_schemamigration WHERE is_compatible")
        compatible = {name for (name,) in rows}
    blocking = sorted({f"{app}.{name}" for app, name in applied - known} - compatible)
    if blocking:
        raise SchemaDoesNotFit(
            f"The schema is newer than this code and not compatible with it: {', '.join(blocking[:3])}. Run the newer "
            "version of Threada here, or restore a backup from before the upgrade."
        )
    missing = sorted(known - applied)
    if missing:
        raise SchemaDoesNotFit(
            f"The schema is older than this code, or a migration was interrupted: {len(missing)} migrations are "
            f"missing, the first is {'.'.join(missing[0])}. Run manage.py upgrade."
        )
