"""Tables partitioned by month: partition a table online, create partitions ahead, drop empty partitions.

The operations are in `sql/partitions.sql`; this module decides when they run and how often they are tried. A statement
that needs an exclusive lock waits 1.5 seconds at a time, so that nobody waits longer behind it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import OperationalError, connection, transaction
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.special import RunSQL
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
_NEAR: Final = timedelta(days=7)


class PartitionByMonth(Operation):
    """Partition the table of a model by month, online. For a migration with `atomic = False`.

    `by` is the field whose id determines the month: the row's own id, or that of the row it belongs to. Each step is a
    transaction that leaves the table usable; a killed migration is run again and continues. Reversing it copies the
    rows written since; nobody may write meanwhile.
    """

    reduces_to_sql = False
    reversible = True

    def __init__(self, model: str, *, by: str = "id") -> None:
        self.model = model
        self.by = by

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Leave the model as it is."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        meta = to_state.apps.get_model(app_label, self.model)._meta
        partition_by_month(meta.db_table, key=meta.get_field(self.by).column, now=datetime.now(UTC))

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        table = from_state.apps.get_model(app_label, self.model)._meta.db_table
        if _is_partitioned(table):
            run_with_lock_retries("SELECT threada_join_months(%s)", [table])

    def describe(self) -> str:
        return f"Partition {self.model} by month"


class LockRetryingSQL(RunSQL):
    """SQL that needs an exclusive lock: tried for 1.5 seconds at a time, in a transaction of its own."""

    def _run_sql(self, schema_editor: Any, sqls: Any) -> None:
        if sqls:
            run_with_lock_retries(sqls)


class BuildIndex(RunSQL):
    """Build an index of a plain table without blocking writes. An index left invalid by a killed migration is built
    again.

    `definition` follows the name in the statement: `ON table (columns) WHERE …`.
    """

    def __init__(self, name: str, definition: str, *, is_unique: bool = False, **kwargs: Any) -> None:
        self.name = name
        create = f"CREATE {'UNIQUE ' * is_unique}INDEX CONCURRENTLY IF NOT EXISTS"
        super().__init__(f"{create} {name} {definition}", f"DROP INDEX IF EXISTS {name}", **kwargs)

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if _value("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [self.name]):
            _alter("DROP INDEX {}", self.name)
        super().database_forwards(app_label, schema_editor, from_state, to_state)


def partition_by_month(table: str, *, key: str = "id", now: datetime) -> None:
    """Partition a table by month. Run as the owner. Idempotent."""
    if not _is_partitioned(table):
        bound(table, key=key, now=now)
        run_with_lock_retries("SELECT threada_partition_by_month(%s, %s, %s)", [table, MONTHS_AHEAD, key])
    for child, constraint in _unvalidated_references(table):
        _alter("ALTER TABLE {} VALIDATE CONSTRAINT {}", child, constraint)


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

    A partition is dropped a whole month after its own at the earliest. Up to 10,000 remaining rows go to the first
    partition; an empty partition leaves its range to its neighbour, so that no id is ever rejected.
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
        key = _value("SELECT threada_month_key(%s)", [table])
        end = _value("SELECT first_id FROM threada_partitions(%s) WHERE end_id IS NULL", [table])
        beyond += _value(_composed("SELECT EXISTS (SELECT FROM {} WHERE {} >= ", table, key) + sql.SQL("%s)"), [end])
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


def bound(table: str, *, key: str = "id", now: datetime) -> None:
    """Prove that every row is older than the month after next, without blocking writes.

    Rows written until the end of the migration must be older too. A bound that a killed migration left long ago is
    replaced before a new row violates it.
    """
    name = f"{table}_before"
    known = _value(
        "SELECT substring(pg_get_constraintdef(oid) FROM '([0-9a-f-]{36})')::uuid FROM pg_constraint "
        "WHERE conrelid = %s::regclass AND conname = %s",
        [table, name],
    )
    if known is not None and ids.instant_of(known) < now + _NEAR:
        _alter("ALTER TABLE {} DROP CONSTRAINT {}", table, name)
        known = None
    if known is None:
        if not _value(_composed("SELECT EXISTS (SELECT FROM {})", table)):
            return
        month = now.year * 12 + now.month + 1  # counted from 0
        end = ids.first_id_at(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC))
        _alter("ALTER TABLE {} ADD CONSTRAINT {} CHECK ({} < " + f"'{end}') NOT VALID", table, name, key)
    _alter("ALTER TABLE {} VALIDATE CONSTRAINT {}", table, name)


def _tables() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        return [name for (name,) in cursor.fetchall()]


def _unvalidated_references(table: str) -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, r.conname FROM pg_constraint r JOIN pg_class c ON c.oid = r.conrelid "
            "WHERE r.confrelid = %s::regclass AND r.contype = 'f' AND r.conparentid = 0 AND NOT r.convalidated",
            [table],
        )
        return cursor.fetchall()


def _is_partitioned(table: str) -> bool:
    return bool(_value("SELECT relkind = 'p' FROM pg_class WHERE oid = %s::regclass", [table]))


def _alter(statement: str, *names: str) -> None:
    run_with_lock_retries(_composed(statement, *names))


def _composed(statement: str, *names: str) -> Any:
    return sql.SQL(statement).format(*(sql.Identifier(name) for name in names))  # type: ignore[arg-type]


def _value(statement: Any, parameters: Sequence[Any] = ()) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        row = cursor.fetchone()
    return row[0] if row else None
