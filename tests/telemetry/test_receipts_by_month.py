"""Receipts by month: made of a table in use without a failed write, whatever interrupts it; nobody reaches a partition
past its table."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self

import pytest
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, OperationalError, ProgrammingError, connection, transaction

from telemetry.models import Receipt
from telemetry.receipts import Entry
from telemetry.services.record import record
from tests.factories import acting_system
from tests.telemetry.sealed import own_connection, write_receipts
from threada_site.kernel import ids
from threada_site.tenancy.checks import isolation_problems
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.partitioning import bound, partition_by_month, patiently
from threada_site.tenancy.roles import APP, OWNER, PLATFORM, owner_role, platform_role
from threada_site.tenancy.unit_of_work import unit_of_work

TABLE = "telemetry_receipt"
ROWS = 50_000
LONGEST_WAIT_S = 5.0
"""The longest that a writer may wait; about 0.3 s were seen."""


def value(statement: str, *parameters: object) -> object:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone()[0]


def kind() -> object:
    return value("SELECT relkind FROM pg_class WHERE relname = %s", TABLE)


def parts() -> list[tuple[str, uuid.UUID | None, uuid.UUID | None]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM threada_partitions(%s)", [TABLE])
        return cursor.fetchall()


def shape() -> list[tuple[str, ...]]:
    """All that hangs on the table, as PostgreSQL writes it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE conrelid = %(t)s::regclass AND contype <> 'n' UNION ALL "
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
            {"t": TABLE},
        )
        return cursor.fetchall()


@pytest.fixture
def plain(tenant: Tenant) -> Iterator[Tenant]:
    """The table as it was before there were partitions; afterwards as it has to be."""
    with owner_role():
        if kind() == "p":
            patiently("SELECT threada_join_months(%s)", [TABLE])
    yield tenant
    call_command("flush", interactive=False, verbosity=0)
    with owner_role():
        if kind() == "p":
            patiently("SELECT threada_join_months(%s)", [TABLE])
        partition_by_month(TABLE, now=datetime.now(UTC))


def fill(tenant: Tenant, rows: int) -> int:
    """Copies of one receipt, over the last two months; how many receipts there are then."""
    write_receipts(tenant, 1)
    with owner_role(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} SELECT (r).* FROM (SELECT jsonb_populate_record(t, jsonb_build_object('id', "
            "overlay(threada_first_id((now() - interval '60 days' + n * interval '100 s') AT TIME ZONE 'UTC')::text "
            "PLACING right(gen_random_uuid()::text, 12) FROM 25))) AS r "
            f"FROM {TABLE} t, generate_series(1, %s) n WHERE t.id = (SELECT min(id::text)::uuid FROM {TABLE})) copies",
            [rows],
        )
    with platform_role():
        return Receipt.objects.count()


@dataclass
class Writer:
    """Records receipts as a process of the product does, on a connection of its own, until told to stop."""

    tenant: Tenant
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
                    record(Entry(kind="thing.done"), ctx=acting_system(self.tenant))
                    assert Receipt.objects.order_by("-id").first() is not None
            except Exception as error:  # noqa: BLE001  (whatever it is, it is a failed write)
                self.failures.append(repr(error))
            self.waits.append(time.monotonic() - begun)
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_the_table_is_partitioned_under_writers(plain: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    before = shape()
    there = fill(plain, ROWS)
    with Writer(plain) as one, Writer(plain) as two:
        time.sleep(0.5)
        written = len(one.waits) + len(two.waits)
        with owner_role():
            partition_by_month(TABLE, now=datetime.now(UTC))
        assert len(one.waits) + len(two.waits) > written
        time.sleep(0.5)
    assert one.failures + two.failures == []
    longest = max(*one.waits, *two.waits)
    with capsys.disabled():
        print(f" {len(one.waits) + len(two.waits)} writes, the longest waited {longest * 1000:.0f} ms ", end="")
    assert longest < LONGEST_WAIT_S
    assert shape() == before
    with platform_role():
        assert Receipt.objects.count() == there + len(one.waits) + len(two.waits)
    with owner_role():
        assert value(f"SELECT count(*) FROM {TABLE}_before") == there + len(one.waits) + len(two.waits)
    assert list(isolation_problems()) == []


def _killed_while_it_waits() -> None:
    """Run the migration, and end its connection when it waits for the table."""
    pids: list[object] = []

    def migrate() -> None:
        with suppress(DatabaseError), owner_role():
            pids.append(value("SELECT pg_backend_pid()"))
            partition_by_month(TABLE, now=datetime.now(UTC))
        connection.close()

    thread = threading.Thread(target=migrate)
    thread.start()
    with own_connection() as own:
        for _ in range(500):
            if pids and own.execute(_WAITS, [pids[0]]).fetchone():
                break
            time.sleep(0.01)
        own.execute("SELECT pg_terminate_backend(%s)", [pids[0]])
    thread.join()


_WAITS = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_bounded", [False, True])
def test_a_migration_that_was_killed_goes_on(plain: Tenant, is_bounded: bool) -> None:
    there = fill(plain, 1000)
    if is_bounded:
        with owner_role():
            bound(TABLE, now=datetime.now(UTC))
    with own_connection() as busy, busy.transaction():
        busy.execute(f"SELECT count(*) FROM {TABLE}")
        _killed_while_it_waits()
        assert kind() == "r"
    write_receipts(plain, 1)
    with owner_role():
        partition_by_month(TABLE, now=datetime.now(UTC))
        partition_by_month(TABLE, now=datetime.now(UTC))
    assert kind() == "p"
    with platform_role():
        assert Receipt.objects.count() == there + 1


@pytest.mark.django_db(transaction=True)
def test_a_bound_left_long_ago_is_drawn_anew(plain: Tenant) -> None:
    fill(plain, 10)
    near = ids.first_id_at(datetime.now(UTC) + timedelta(days=3))
    with owner_role():
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {TABLE} ADD CONSTRAINT {TABLE}_before CHECK (id < '{near}') NOT VALID")
        partition_by_month(TABLE, now=datetime.now(UTC))
    first = parts()[0]
    assert first[:2] == (f"{TABLE}_before", None)
    assert ids.instant_of(first[2]) > datetime.now(UTC) + timedelta(days=28)  # type: ignore[arg-type]


@pytest.mark.django_db
def test_months_follow_each_other_without_a_gap() -> None:
    found = parts()
    assert (found[0][0], found[0][1]) == (f"{TABLE}_before", None)
    assert (found[-1][0], found[-1][2]) == (f"{TABLE}_later", None)
    assert [end for _, _, end in found[:-1]] == [first for _, first, _ in found[1:]]
    for name, first, _ in found[1:-1]:
        month = ids.instant_of(first)  # type: ignore[arg-type]
        assert (month.day, month.hour, month.minute, month.second) == (1, 0, 0, 0)
        assert name == f"{TABLE}_{month:%Y_%m}"
    months = [name for name, *_ in found[1:-1]]
    now = datetime.now(UTC)
    for ahead in range(4):
        year, month_number = divmod(now.year * 12 + now.month - 1 + ahead, 12)
        assert f"{TABLE}_{year}_{month_number + 1:02}" in months


@pytest.mark.django_db
@pytest.mark.parametrize("role", [APP, PLATFORM])
def test_nobody_reaches_a_partition_past_its_table(tenant: Tenant, role: str) -> None:
    write_receipts(tenant, 1)
    with unit_of_work(tenant.id), connection.cursor() as cursor:
        if role == PLATFORM:
            cursor.execute(f"SET LOCAL ROLE {PLATFORM}")
        for name, *_ in parts():
            for statement in ("SELECT FROM {}", "INSERT INTO {} DEFAULT VALUES", "DELETE FROM {}", "TRUNCATE {}"):
                with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
                    cursor.execute(statement.format(name))
        cursor.execute("SET LOCAL ROLE NONE")


@pytest.mark.django_db
def test_security_holds_on_the_partition_itself(tenant: Tenant, other_tenant: Tenant) -> None:
    """Were somebody granted a partition by mistake, its policies would still show one tenant alone."""
    write_receipts(tenant, 2)
    write_receipts(other_tenant, 3)
    name = f"{TABLE}_{datetime.now(UTC):%Y_%m}"
    check = f"SELECT count(*) FROM {name}"
    with owner_role(), connection.cursor() as cursor:
        cursor.execute(f"GRANT SELECT ON {name} TO {APP}")
    assert value(check) == 0
    for who in (tenant, other_tenant):
        with unit_of_work(who.id):
            assert value(check) == Receipt.objects.count() > 1


@pytest.mark.django_db
@pytest.mark.parametrize("change", ["UPDATE {} SET kind = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
def test_rows_of_a_partition_are_append_only(tenant: Tenant, change: str) -> None:
    write_receipts(tenant, 1)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"SET LOCAL ROLE {OWNER}")
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            cursor.execute(change.format(f"{TABLE}_{datetime.now(UTC):%Y_%m}"))
        cursor.execute("SET LOCAL ROLE NONE")


@pytest.mark.django_db
def test_an_open_partition_stops_the_start() -> None:
    name = f"{TABLE}_{datetime.now(UTC):%Y_%m}"
    with owner_role(), connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY")
    assert list(isolation_problems()) == [f"the table {name} has no forced row-level security policy"]


@pytest.mark.django_db(transaction=True)
def test_who_is_never_let_in_gives_up(tenant: Tenant) -> None:
    with own_connection() as busy, busy.transaction():
        busy.execute(f"SELECT count(*) FROM {TABLE}")
        with pytest.raises(OperationalError, match="lock timeout"), owner_role():
            patiently(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE", tries=2)


@pytest.mark.django_db
@pytest.mark.parametrize("instant", [datetime(2001, 1, 1, tzinfo=UTC), datetime(2101, 1, 1, tzinfo=UTC)])
def test_no_clock_is_refused(tenant: Tenant, instant: datetime) -> None:
    """Ids of a clock that is far off find a place, and are read like all others."""
    with unit_of_work(tenant.id):
        record(Entry(kind="thing.done"), ctx=acting_system(tenant))
        row = Receipt.objects.latest("id")
        row.id = ids.first_id_at(instant)
        row.save(force_insert=True)
        assert Receipt.objects.filter(id=row.id).exists()
    with owner_role():
        last = value(f"SELECT count(*) FROM {TABLE}_{'before' if instant.year < 2026 else 'later'}")
    assert last == 1
