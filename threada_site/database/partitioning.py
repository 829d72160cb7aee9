"""Tables partitioned by month: partition a new table, create partitions ahead, drop empty partitions.

The operations are in `sql/partitions.sql`; this module decides when they run and how often they are tried. A statement
that needs an exclusive lock waits 1.5 seconds at a time, so that nobody waits longer behind it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from django.db import OperationalError, connection, transaction
from django.db.migrations.operations.base import Operation
from psycopg import errors, sql

from threada_site.kernel import ids
from threada_site.kernel.metrics import Metric

MONTHS_AHEAD: Final = 3
"""Whole months for which partitions exist after the current one."""
LOCK_TIMEOUT: Final = "1500ms"
"""Longer than deadlock_timeout (one second), after which PostgreSQL cancels an autovacuum that holds the lock."""
TRIES: Final = 240
TRIES_IN_A_JOB: Final = 20
SECONDS_BETWEEN: Final = 0.5
MOST_ROWS_MOVED: Final = 10_000
"""Rows of a nearly empty month that are moved at most, within half a second."""

_TABLES: Final = (
    "SELECT c.relname FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid "
    "WHERE c.relnamespace = 'public'::regnamespace ORDER BY c.relname"
)


class PartitionByMonth(Operation):
    """Partition the table of a model by the month of its ids. Follows the operation that creates the model.

    `make_months` creates the partitions, which `manage.py migrate` calls at its end.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(self, model: str) -> None:
        self.model = model

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Leave the model as it is."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        table = to_state.apps.get_model(app_label, self.model)._meta.db_table
        schema_editor.execute("SELECT threada_partition_by_month(%s)", [table])

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Do nothing: the reverse of the operation before drops the table."""

    def describe(self) -> str:
        return f"Partition {self.model} by month"


def make_months() -> int:
    """Create missing partitions ahead, of every partitioned table. Return how many. Run as owner or platform.

    A table that is locked for minutes (by an export) is left for the next run.
    """
    return sum(
        run_with_lock_retries("SELECT threada_add_months(%s, %s)", [table, MONTHS_AHEAD], tries=TRIES_IN_A_JOB)
        for table in _tables()
    )


def drop_months() -> list[str]:
    """Drop past partitions that retention has emptied or nearly emptied. Return what was done. Run as owner or
    platform.

    A partition is dropped a whole month after its own at the earliest. Its range and up to 10,000 remaining rows go to
    its neighbour, so that no id is ever rejected.
    """
    done = []
    for table in _tables():
        while step := run_with_lock_retries(
            "SELECT threada_drop_month(%s, %s)", [table, MOST_ROWS_MOVED], tries=TRIES_IN_A_JOB
        ):
            done.append(f"{table}: {step}")
    return done


def has_months() -> bool:
    """Return True if the SQL functions are installed: False while the schema is being created or reverted."""
    return bool(_value("SELECT to_regprocedure('threada_add_months(text, integer)') IS NOT NULL"))


def month_metrics() -> Iterator[Metric]:
    """Yield the number of whole months ahead in the table that has the fewest, and the number of tables with rows
    beyond them."""
    now = datetime.now(UTC)
    ahead, beyond = [], 0
    for table in _tables():
        end = _value("SELECT first_id FROM threada_partitions(%s) WHERE end_id IS NULL", [table])
        beyond += _value(sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE id >= %s)").format(sql.Identifier(table)), [end])
        until = ids.instant_of(end)
        ahead.append((until.year - now.year) * 12 + until.month - now.month - 1)
    yield Metric(
        "threada_months_ahead",
        "Whole months ahead that have a partition, in the table that has the fewest.",
        max(min(ahead, default=MONTHS_AHEAD), 0),
    )
    yield Metric(
        "threada_tables_beyond_months",
        "Partitioned tables with rows beyond their last month.",
        beyond,
    )


def run_with_lock_retries(statement: Any, parameters: Sequence[Any] = (), *, tries: int = TRIES) -> Any:
    """Run a statement that needs an exclusive lock, in a transaction of its own. Return its first column.

    It gives up waiting after 1.5 seconds and tries again, so that other transactions proceed. Raise `OperationalError`
    if it never gets the lock.
    """
    for left in range(tries - 1, -1, -1):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                cursor.execute(statement, parameters or None)
                row = cursor.fetchone() if cursor.description else None
                cursor.execute("SET LOCAL lock_timeout = 0")
            return row[0] if row else None
        except OperationalError as error:
            if not left or not isinstance(error.__cause__, errors.LockNotAvailable | errors.DeadlockDetected):
                raise
            time.sleep(SECONDS_BETWEEN)
    raise AssertionError("unreachable")


def _tables() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        return [name for (name,) in cursor.fetchall()]


def _value(statement: Any, parameters: Sequence[Any] = ()) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        row = cursor.fetchone()
    return row[0] if row else None
