"""Receipts partitioned by month: their partitions, access to them, months ahead, and the plans of lists."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, OperationalError, ProgrammingError, connection, transaction

from telemetry.alarms import months_alarm
from telemetry.models import Receipt
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from telemetry.selectors import receipts_of
from telemetry.tasks import months
from tests.by_month import parts, value
from tests.factories import acting_system
from tests.telemetry.sealed import own_connection, write_receipts
from threada_site.database.partitioning import month_metrics, run_with_lock_retries
from threada_site.database.roles import APP, OWNER, PLATFORM, owner_role, platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.tenancy.isolation_checks import isolation_problems
from threada_site.tenancy.models import Tenant

TABLE = "telemetry_receipt"


@pytest.mark.django_db
def test_months_follow_each_other_without_a_gap() -> None:
    found = parts(TABLE)
    assert (found[0][0], found[0][1]) == (f"{TABLE}_initial", None)
    assert (found[-1][0], found[-1][2]) == (f"{TABLE}_overflow", None)
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
def test_a_timeline_reads_no_months_before_its_work_item(tenant: Tenant) -> None:
    ctx = acting_system(tenant)
    with unit_of_work(tenant.id):
        item_id = ids.new_uuid()
        record(Entry(kind="work_item.created", subject=Subject(work_item_id=item_id)), ctx=ctx)
        assert receipts_of(item_id, ctx=ctx).count() == 1
        plan = receipts_of(item_id, ctx=ctx).explain()
        assert f"{TABLE}_{datetime.now(UTC):%Y_%m}" in plan
        assert f"{TABLE}_initial" not in plan
        future = ids.first_id_at(datetime.now(UTC) + timedelta(days=62))
        assert f"{TABLE}_{datetime.now(UTC):%Y_%m}" not in receipts_of(future, ctx=ctx).explain()


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
        last = value(f"SELECT count(*) FROM {TABLE}_{'initial' if instant.year < 2026 else 'overflow'}")
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
        assert value("SELECT threada_move_overflow(%s, 3)", TABLE) == 2
        assert value(f"SELECT count(*) FROM {TABLE}_overflow") == 1
        assert value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'append_only%%' AND tgenabled <> 'O'") == 0
    assert metrics() == {"threada_months_ahead": 3, "threada_tables_beyond_months": 1}
    with unit_of_work(tenant.id):
        assert Receipt.objects.filter(id__in=late).count() == 2


def test_the_alarm_says_what_to_do() -> None:
    assert months_alarm(2, 0) is None
    assert "down to 1." in str(months_alarm(1, 0))
    assert "telemetry.months" in str(months_alarm(0, 0))
    assert "…_overflow" in str(months_alarm(3, 1))


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
        cursor.execute("SELECT threada_add_partition(%s, 'overflow', %s, NULL)", [TABLE, first])


@pytest.mark.django_db
def test_a_list_walks_the_months_in_order_and_skips_what_lies_outside(tenant: Tenant) -> None:
    with unit_of_work(tenant.id), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for bound, scanned in (
            ("true", {name for name, *_ in parts(TABLE)}),
            (f"id < '{parts(TABLE)[1][2]}'", {f"{TABLE}_initial", parts(TABLE)[1][0]}),
        ):
            cursor.execute(
                f"EXPLAIN SELECT id FROM {TABLE} WHERE tenant_id = %s AND {bound} ORDER BY id DESC LIMIT 50",
                [tenant.id],
            )
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "Sort" not in plan
            assert "Merge Append" not in plan
            assert set(re.findall(rf" on ({TABLE}_\w+)", plan)) == scanned
