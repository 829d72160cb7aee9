"""Checks of `/readyz`. What anybody may ask for is cached for a second, also during an outage."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Final

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils.module_loading import import_string
from psycopg_pool import PoolTimeout

from threada_site.jobs.engines.choice import engine_problem
from threada_site.postgres import EmbeddedPostgresError
from threada_site.tenancy.instance_membership import compare_facts, difference
from threada_site.tenancy.isolation_checks import isolation_problems
from threada_site.tenancy.schema.version import newer_schema_problem

CACHED_SECONDS: Final = 1.0
_SPILLED_ROWS: Final = 60_000
"""Rows that take about 1 MB, more than the memory of the statement, so that PostgreSQL writes them to its disk."""

_applied: set[str] = set()
_sound_until: dict[str, float] = {}
_same: set[str] = set()
_problems_until: dict[str, tuple[float, str]] = {}
_checking = threading.Lock()
"""Lock of the checks: requests that wait for the database during an outage share one answer."""


def readiness_problem() -> str | None:
    """Return a sentence that says why this instance cannot serve requests, with what to do, or None."""
    name = connection.settings_dict["NAME"]
    with _checking:
        until, problem = _problems_until.get(name, (0.0, ""))
        if time.monotonic() < until:
            return problem
        found = _first_problem()
        if found:
            _problems_until[name] = (time.monotonic() + CACHED_SECONDS, found)
    return found


def _first_problem() -> str | None:
    try:
        return next(_problems(), None)
    except (DatabaseError, PoolTimeout, EmbeddedPostgresError) as error:
        return (
            f"The database does not answer as it should: {str(error).strip().partition(chr(10))[0]}. Look at its log."
        )


def write_problem() -> str | None:
    """Return why the database accepts no writes, or None. Writes nothing that is kept."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('work_mem', '64kB', true), current_setting('transaction_read_only') = 'on', "
                "pg_is_in_recovery()"
            )
            _, is_read_only, is_standby = cursor.fetchone()
            if is_read_only or is_standby:
                reason = "it is a standby" if is_standby else "it is read-only (default_transaction_read_only)"
                return f"The database accepts no writes: {reason}. Connect to the primary, or end the read-only mode."
            cursor.execute("SELECT count(*) FROM generate_series(1, %s)", [_SPILLED_ROWS])
    except DatabaseError as error:
        return (
            f"The database cannot write: {str(error).strip().partition(chr(10))[0]}. Free space on its disk, or "
            "enlarge the disk."
        )
    return None


def _problems() -> Iterator[str]:
    if not migrations_are_applied():
        yield "Migrations are missing. Run manage.py upgrade."
    engine = engine_problem(works=False)
    if engine:
        yield f"{engine}."
    unsigned = import_string(settings.THREADA_WEB_SIGNING_PROBLEM)()
    if unsigned:
        yield f"Receipts cannot be signed: {unsigned}"
    yield from _problems_of_database()
    differing = facts_that_differ()
    if differing:
        yield "This machine cannot join the instance: " + "; ".join(map(difference, differing)) + "."


def _problems_of_database() -> Sequence[str]:
    """Return problems of schema, isolation and writing. Once there is none, that is cached for a second."""
    name = connection.settings_dict["NAME"]
    if time.monotonic() < _sound_until.get(name, 0.0):
        return ()
    newer = newer_schema_problem()
    isolation = isolation_problems()
    problems = [newer] if newer else []
    problems += ["Tenants are not isolated: " + "; ".join(isolation) + "."] if isolation else []
    problems += [writing] if (writing := write_problem()) else []
    if not problems:
        _sound_until[name] = time.monotonic() + CACHED_SECONDS
    return problems


def facts_that_differ() -> list[str]:
    """Return keys and settings that differ from the recorded ones. Once all are recorded and equal, that is cached."""
    name = connection.settings_dict["NAME"]
    if name in _same:
        return []
    differing, are_recorded = compare_facts(with_settings=True)
    if are_recorded and not differing:
        _same.add(name)
    return differing


def migrations_are_applied() -> bool:
    """Return True if all migrations of this code are applied. True is cached for the process."""
    name = connection.settings_dict["NAME"]
    if name not in _applied:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return False
        _applied.add(name)
    return True


def forget() -> None:
    """Forget what was cached, for tests."""
    for cached in (_applied, _sound_until, _same, _problems_until):
        cached.clear()
