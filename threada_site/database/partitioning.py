"""Tables by month: making one of a plain table while it is in use, making months ahead, dropping those that are empty.

What is done lies in `sql/partitions.sql`; here is when, and how often it is tried. Everything that needs a table for
itself asks for it for a second and a half at a time, so that nobody waits longer behind it.
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
"""Whole months that are made behind the present one."""
LOCK_TIMEOUT: Final = "1500ms"
"""Longer than deadlock_timeout (one second), after which PostgreSQL ends an autovacuum that is in the way."""
TRIES: Final = 240
TRIES_IN_A_JOB: Final = 20
SECONDS_BETWEEN: Final = 0.5
MOST_ROWS_MOVED: Final = 10_000
"""Of a month that retention has all but emptied: so many are moved within half a second."""

_TABLES: Final = (
    "SELECT c.relname FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid "
    "WHERE c.relnamespace = 'public'::regnamespace ORDER BY c.relname"
)
_NEAR: Final = timedelta(days=7)


class PartitionByMonth(Operation):
    """Make the table of a model one by month, online: for a migration with `atomic = False`.

    `by` names the field whose ids say in which month a row lies: that of a row which it belongs to, and lies beside.
    Each step is a transaction and leaves the table whole; a migration that was killed is run again and goes on.
    Backwards it copies what was written after the table had been partitioned, and nobody writes meanwhile.
    """

    reduces_to_sql = False
    reversible = True

    def __init__(self, model: str, *, by: str = "id") -> None:
        self.model = model
        self.by = by

    def state_forwards(self, app_label: str, state: Any) -> None:
        """The model stays as it is."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        meta = to_state.apps.get_model(app_label, self.model)._meta
        partition_by_month(meta.db_table, key=meta.get_field(self.by).column, now=datetime.now(UTC))

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        table = from_state.apps.get_model(app_label, self.model)._meta.db_table
        if _is_partitioned(table):
            patiently("SELECT threada_join_months(%s)", [table])

    def describe(self) -> str:
        return f"Partition {self.model} by month"


class Patiently(RunSQL):
    """SQL that needs a table for itself: asked for a second and a half at a time, in a transaction of its own."""

    def _run_sql(self, schema_editor: Any, sqls: Any) -> None:
        if sqls:
            patiently(sqls)


class BuildIndex(RunSQL):
    """An index of a plain table, built while it is written; one that a killed migration left unfinished, built anew.

    `definition` is what stands behind its name: `ON table (columns) WHERE …`.
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
    """As the owner. Idempotent."""
    if not _is_partitioned(table):
        bound(table, key=key, now=now)
        patiently("SELECT threada_partition_by_month(%s, %s, %s)", [table, MONTHS_AHEAD, key])
    for child, constraint in _unvalidated_references(table):
        _alter("ALTER TABLE {} VALIDATE CONSTRAINT {}", child, constraint)


def make_months() -> int:
    """Make the months ahead that are missing, of every table by month; how many were made. As owner or platform.

    A table that somebody holds for minutes (an export) is left for the next time.
    """
    return sum(
        patiently("SELECT threada_add_months(%s, %s)", [table, MONTHS_AHEAD], tries=TRIES_IN_A_JOB)
        for table in _tables()
    )


def drop_months() -> list[str]:
    """Drop the months that are over and that retention has emptied, or all but emptied; what was done. As owner or
    platform.

    A month lies a whole one back before it is dropped. What is left of it goes to the first partition of its table,
    10,000 rows at most; an empty one leaves its range to its neighbour, so that no id is ever refused.
    """
    done = []
    for table in _tables():
        while step := patiently("SELECT threada_drop_month(%s, %s)", [table, MOST_ROWS_MOVED], tries=TRIES_IN_A_JOB):
            done.append(f"{table}: {step}")
    return done


def has_months() -> bool:
    """Whether the functions for it are installed: not while the schema is being built or taken back."""
    return bool(_value("SELECT to_regprocedure('threada_add_months(text, integer)') IS NOT NULL"))


def month_metrics() -> Iterator[Metric]:
    """How many whole months there are still ahead, of the table that has the fewest, and what lies behind them."""
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
        "Months behind the present one that have a partition, in the table that has the fewest.",
        max(min(ahead, default=MONTHS_AHEAD), 0),
    )
    yield Metric(
        "threada_tables_beyond_months",
        "Tables by month with rows behind their last month.",
        beyond,
    )


def patiently(statement: Any, parameters: Sequence[Any] = (), *, tries: int = TRIES) -> Any:
    """Run a statement that needs a table for itself, in a transaction of its own; what it returns in its first column.

    Whoever holds the table keeps it: this one steps back after a second and a half and asks again. Raises
    `OperationalError` when it was never let in.
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
    """Prove that every row lies before the first of some month, without keeping anybody from writing.

    The month after next: what is written until the end has to lie before it too. A bound that a killed migration left
    long ago is drawn anew before it comes into anybody's way.
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
    patiently(_composed(statement, *names))


def _composed(statement: str, *names: str) -> Any:
    return sql.SQL(statement).format(*(sql.Identifier(name) for name in names))  # type: ignore[arg-type]


def _value(statement: Any, parameters: Sequence[Any] = ()) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        row = cursor.fetchone()
    return row[0] if row else None
