"""Partitioning of receipts by month: a table in use is converted without a failed write, and partitions are not
accessible directly."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, ProgrammingError, connection, transaction

from telemetry.alarms import months_alarm
from telemetry.models import Receipt
from telemetry.receipts import Entry
from telemetry.services.record import record
from telemetry.tasks import months
from tests.by_month import (
    MAX_WAIT_S,
    Writer,
    join_months,
    kind,
    partition_under,
    parts,
    renew,
    shape,
    stray_indexes,
    value,
)
from tests.factories import acting_system
from tests.telemetry.sealed import own_connection, write_receipts
from threada_site.database.isolation_checks import isolation_problems
from threada_site.database.partitioning import bound, month_metrics, partition_by_month, run_with_lock_retries
from threada_site.database.roles import APP, OWNER, PLATFORM, owner_role, platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant

TABLE = "telemetry_receipt"
ROWS = 20_000


@pytest.fixture
def plain(tenant: Tenant) -> Iterator[Tenant]:
    """The table before partitioning. Asserts its final state afterwards."""
    join_months(TABLE)
    yield tenant
    renew(TABLE)


def fill(tenant: Tenant, rows: int) -> int:
    """Insert copies of one receipt over the last two months. Return the number of receipts."""
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


@pytest.mark.django_db(transaction=True)
def test_the_table_is_partitioned_under_writers(plain: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    before = shape(TABLE)
    there = fill(plain, ROWS)
    one, two = (Writer(plain, lambda: written(plain)) for _ in range(2))
    longest = partition_under(one, two, TABLE)
    with capsys.disabled():
        print(f" {len(one.waits) + len(two.waits)} writes, the longest waited {longest * 1000:.0f} ms ", end="")
    assert longest < MAX_WAIT_S
    assert shape(TABLE) == before
    assert stray_indexes() == []
    with platform_role():
        assert Receipt.objects.count() == there + len(one.waits) + len(two.waits)
    with owner_role():
        assert value(f"SELECT count(*) FROM {TABLE}_before") == there + len(one.waits) + len(two.waits)
    assert list(isolation_problems()) == []


def written(tenant: Tenant) -> None:
    record(Entry(kind="thing.done"), ctx=acting_system(tenant))
    assert Receipt.objects.order_by("-id").first() is not None


def _killed_while_it_waits() -> None:
    """Run the migration, and terminate its connection while it waits for the table lock."""
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
        assert kind(TABLE) == "r"
    write_receipts(plain, 1)
    with owner_role():
        partition_by_month(TABLE, now=datetime.now(UTC))
        partition_by_month(TABLE, now=datetime.now(UTC))
    assert kind(TABLE) == "p"
    with platform_role():
        assert Receipt.objects.count() == there + 1


@pytest.mark.django_db(transaction=True)
def test_outdated_bound_is_replaced(plain: Tenant) -> None:
    fill(plain, 10)
    near = ids.first_id_at(datetime.now(UTC) + timedelta(days=3))
    with owner_role():
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {TABLE} ADD CONSTRAINT {TABLE}_before CHECK (id < '{near}') NOT VALID")
        partition_by_month(TABLE, now=datetime.now(UTC))
    first = parts(TABLE)[0]
    assert first[:2] == (f"{TABLE}_before", None)
    assert ids.instant_of(first[2]) > datetime.now(UTC) + timedelta(days=28)  # type: ignore[arg-type]


@pytest.mark.django_db
def test_months_follow_each_other_without_a_gap() -> None:
    found = parts(TABLE)
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
        for name, *_ in parts(TABLE):
            for statement in ("SELECT FROM {}", "INSERT INTO {} DEFAULT VALUES", "DELETE FROM {}", "TRUNCATE {}"):
                with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
                    cursor.execute(statement.format(name))
        cursor.execute("SET LOCAL ROLE NONE")


@pytest.mark.django_db
def test_security_holds_on_the_partition_itself(tenant: Tenant, other_tenant: Tenant) -> None:
    """If somebody were granted access to a partition by mistake, its policies would still show one tenant only."""
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
def test_migration_gives_up_without_the_lock(tenant: Tenant) -> None:
    with own_connection() as busy, busy.transaction():
        busy.execute(f"SELECT count(*) FROM {TABLE}")
        with pytest.raises(OperationalError, match="lock timeout"), owner_role():
            run_with_lock_retries(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE", tries=2)


@pytest.mark.django_db
@pytest.mark.parametrize("instant", [datetime(2001, 1, 1, tzinfo=UTC), datetime(2101, 1, 1, tzinfo=UTC)])
def test_receipts_of_any_clock_are_stored(tenant: Tenant, instant: datetime) -> None:
    """Receipts with the id of a wrong clock are stored and can be read like all others."""
    with unit_of_work(tenant.id):
        record(Entry(kind="thing.done"), ctx=acting_system(tenant))
        row = Receipt.objects.latest("id")
        row.id = ids.first_id_at(instant)
        row.save(force_insert=True)
        assert Receipt.objects.filter(id=row.id).exists()
    with owner_role():
        last = value(f"SELECT count(*) FROM {TABLE}_{'before' if instant.year < 2026 else 'later'}")
    assert last == 1


@pytest.mark.django_db
def test_missing_months_are_made_ahead(tenant: Tenant) -> None:
    before = parts(TABLE)
    drop_last_months(2)
    assert metrics() == {"threada_months_ahead": 1, "threada_tables_beyond_months": 0}
    months()
    assert parts(TABLE) == before
    assert metrics() == {"threada_months_ahead": 3, "threada_tables_beyond_months": 0}
    months()
    assert parts(TABLE) == before
    assert list(isolation_problems()) == []


@pytest.mark.django_db
def test_rows_beyond_the_last_month_stay_and_raise_an_alarm(tenant: Tenant) -> None:
    drop_last_months(2)
    with unit_of_work(tenant.id):
        record(Entry(kind="thing.done"), ctx=acting_system(tenant))
        row = Receipt.objects.latest("id")
        late = [ids.first_id_at(datetime.now(UTC) + timedelta(days=days)) for days in (80, 150)]
        for row.id in late:
            row.save(force_insert=True)
    before = parts(TABLE)
    months()
    assert parts(TABLE) == before
    assert metrics() == {"threada_months_ahead": 1, "threada_tables_beyond_months": 1}
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with owner_role():
        assert value("SELECT threada_move_late(%s, 3)", TABLE) == 2
        assert value(f"SELECT count(*) FROM {TABLE}_later") == 1
        assert value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'append_only%%' AND tgenabled <> 'O'") == 0
    assert metrics() == {"threada_months_ahead": 3, "threada_tables_beyond_months": 1}
    with unit_of_work(tenant.id):
        assert Receipt.objects.filter(id__in=late).count() == 2


def test_the_alarm_says_what_to_do() -> None:
    assert months_alarm(2, 0) is None
    assert "down to 1." in str(months_alarm(1, 0))
    assert "telemetry.months" in str(months_alarm(0, 0))
    assert "…_later" in str(months_alarm(3, 1))


@pytest.mark.django_db
def test_the_login_makes_no_months(tenant: Tenant) -> None:
    with unit_of_work(tenant.id), pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        value("SELECT threada_add_months(%s, 12)", TABLE)


def metrics() -> dict[str, float]:
    with platform_role():
        return {metric.name: metric.value for metric in month_metrics()}


def drop_last_months(count: int) -> None:
    """Create the state after the job has not run for a while."""
    first = parts(TABLE)[-1 - count][1]
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with owner_role(), connection.cursor() as cursor:
        for name, *_ in parts(TABLE)[-1 - count :]:
            cursor.execute(f"DROP TABLE {name}")
        cursor.execute("SELECT threada_add_partition(%s, 'later', %s, NULL)", [TABLE, first])


@pytest.mark.django_db
def test_a_list_walks_the_months_in_order_and_skips_what_lies_outside(tenant: Tenant) -> None:
    with unit_of_work(tenant.id), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for bound, scanned in (
            ("true", {name for name, *_ in parts(TABLE)}),
            (f"id < '{parts(TABLE)[1][2]}'", {f"{TABLE}_before", parts(TABLE)[1][0]}),
        ):
            cursor.execute(
                f"EXPLAIN SELECT id FROM {TABLE} WHERE tenant_id = %s AND {bound} ORDER BY id DESC LIMIT 50",
                [tenant.id],
            )
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "Sort" not in plan
            assert "Merge Append" not in plan
            assert set(re.findall(rf" on ({TABLE}_\w+)", plan)) == scanned
