"""Partitioned tables: their partitions and definitions, past months, and concurrent writers."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from django.core.management import call_command
from django.db import connection

from tests.threada_site.tenancy.rows import check_constraints_now
from threada_site.database.partitioning import make_months
from threada_site.database.roles import owner_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant


def value(statement: str, *parameters: object) -> object:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone()[0]


def parts(table: str) -> list[tuple[str, uuid.UUID | None, uuid.UUID | None]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM threada_partitions(%s)", [table])
        return cursor.fetchall()


def shape(table: str) -> list[tuple[str, ...]]:
    """Return all definitions that belong to the table, as PostgreSQL prints them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE conrelid = %(t)s::regclass AND contype <> 'n' AND conparentid = 0 UNION ALL "
            "SELECT 'index', indexrelid::regclass::text, regexp_replace(pg_get_indexdef(indexrelid), ' ONLY ', ' ') "
            "FROM pg_index WHERE indrelid = %(t)s::regclass UNION ALL "
            "SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger "
            "WHERE tgrelid = %(t)s::regclass AND NOT tgisinternal UNION ALL "
            "SELECT 'policy', polname, pg_get_expr(polqual, polrelid) FROM pg_policy "
            "WHERE polrelid = %(t)s::regclass UNION ALL "
            "SELECT 'column', attname, format_type(atttypid, atttypmod) || attnotnull FROM pg_attribute "
            "WHERE attrelid = %(t)s::regclass AND attnum > 0 UNION ALL "
            "SELECT 'right', pg_get_userbyid(grantee), string_agg(privilege_type, ' ' ORDER BY privilege_type) "
            "FROM pg_class, aclexplode(relacl) WHERE oid = %(t)s::regclass GROUP BY grantee ORDER BY 1, 2",
            {"t": table},
        )
        return cursor.fetchall()


def stray_indexes() -> list[str]:
    """Return indexes of partitions that are not part of an index of the table, because ATTACH created its own."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid "
            "WHERE c.relispartition AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = i.indexrelid)"
        )
        return [name for (name,) in cursor.fetchall()]


@dataclass
class Writer:
    """Thread that runs one piece of work after the other in units of work of a tenant, until it is stopped."""

    tenant: Tenant
    work: Callable[[], object]
    waits: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                with unit_of_work(self.tenant.id):
                    self.work()
            except Exception as error:  # noqa: BLE001  (whatever it is, it is a failed write)
                self.failures.append(repr(error))
            self.waits.append(time.monotonic() - begun)
        connection.close()


def month_before(ago: int) -> datetime:
    """Return the first instant of the month `ago` months ago, in UTC."""
    now = datetime.now(UTC)
    year, month = divmod(now.year * 12 + now.month - 1 - ago, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def id_in_month(ago: int) -> uuid.UUID:
    """Return a new id with a time in that month."""
    return uuid.UUID(int=ids.first_id_at(month_before(ago)).int | (uuid.uuid4().int & (2**74 - 1)))


def add_past_months(table: str, count: int) -> None:
    """Add months before the first one to a table without rows there."""
    check_constraints_now()
    with owner_role(), connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {table}_initial")
        for ago in range(count, 0, -1):
            first, end = (ids.first_id_at(month_before(months)) for months in (ago, ago - 1))
            cursor.execute(
                "SELECT threada_add_partition(%s, %s, %s, %s)", [table, f"{month_before(ago):%Y_%m}", first, end]
            )
        cursor.execute(
            "SELECT threada_add_partition(%s, 'initial', NULL, %s)", [table, ids.first_id_at(month_before(count))]
        )


def renew(*tables: str) -> None:
    """Empty the tables and recreate the partitions of a new instance."""
    call_command("flush", interactive=False, verbosity=0)
    with owner_role(), connection.cursor() as cursor:
        for table in tables:
            for name, *_ in parts(table):
                cursor.execute(f"DROP TABLE {name}")
    make_months_now()


def make_months_now() -> None:
    """Create missing partitions, as `manage.py migrate` does."""
    with owner_role():
        make_months()
