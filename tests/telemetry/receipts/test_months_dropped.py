"""Past months that retention has emptied completely or almost are dropped, without losing a row or an id."""

from __future__ import annotations

import uuid

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

from telemetry.models import Receipt
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from telemetry.tasks import months
from tests.by_month import (
    Writer,
    add_past_months,
    id_in_month,
    month_before,
    parts,
    renew,
    shape,
    stray_indexes,
    value,
)
from tests.factories import acting_system
from tests.threada_site.tenancy.rows import check_constraints_now
from threada_site.database import partitioning
from threada_site.database.partitioning import drop_months
from threada_site.database.roles import owner_role, platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.tenancy.isolation_checks import isolation_problems
from threada_site.tenancy.models import Tenant

TABLE = "telemetry_receipt"


def fill(tenant: Tenant, **rows: int) -> dict[uuid.UUID, bytes]:
    """Insert receipts of past months: `m3=5` makes five of the month three months ago. Return their bodies."""
    with unit_of_work(tenant.id):
        record(Entry(kind="thing.done"), ctx=acting_system(tenant))
        row = Receipt.objects.latest("id")
        made = {}
        for ago, count in rows.items():
            for _ in range(count):
                row.id = id_in_month(int(ago[1:]))
                row.save(force_insert=True)
                made[row.id] = bytes(row.body)
    check_constraints_now()
    return made


def names() -> list[str]:
    return [name.removeprefix(f"{TABLE}_") for name, *_ in parts(TABLE)]


def named(ago: int) -> str:
    return f"{month_before(ago):%Y_%m}"


@pytest.fixture
def years(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    """Add six past months to a table of receipts, and limit the job to eight rows."""
    monkeypatch.setattr(partitioning, "MOST_ROWS_MOVED", 8)
    add_past_months(TABLE, 6)
    return tenant


@pytest.mark.django_db
def test_remaining_rows_of_old_months_are_merged_and_the_months_dropped(years: Tenant) -> None:
    kept = fill(years, m6=5, m4=3, m3=9)
    before = shape(TABLE)
    months()
    assert names()[:4] == ["initial", named(3), named(2), named(1)], "nine are too many"
    with owner_role():
        assert value(f"SELECT count(*) FROM {TABLE}_initial") == 8
    with unit_of_work(years.id):
        there = Receipt.objects.filter(id__in=kept).values_list("id", "body")
        assert {row_id: bytes(body) for row_id, body in there} == kept
    for change in (f"UPDATE {TABLE}_initial SET kind = 'x'", f"DELETE FROM {TABLE}", f"TRUNCATE {TABLE}_initial"):
        with (
            owner_role(),
            pytest.raises(IntegrityError, match="append-only"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(change)
    assert shape(TABLE) == before
    assert stray_indexes() == []
    assert list(isolation_problems()) == []
    months()
    assert names()[:4] == ["initial", named(3), named(2), named(1)]
    remove(next(row_id for row_id in kept if row_id > ids.first_id_at(month_before(3))))
    months()
    assert names()[:3] == ["initial", named(3), named(1)], "last month may still be written"


def remove(receipt_id: uuid.UUID) -> None:
    with platform_role():
        rows = Receipt.objects.filter(id=receipt_id)
        rows._raw_delete(rows.db)


@pytest.mark.django_db
def test_nothing_is_refused_afterwards(years: Tenant) -> None:
    months()
    assert names()[:2] == ["initial", named(1)]
    kept = fill(years, m6=1, m5=1, m2=1, m0=1)
    with unit_of_work(years.id):
        assert Receipt.objects.filter(id__in=kept).count() == 4
    found = parts(TABLE)
    assert [end for _, _, end in found[:-1]] == [first for _, first, _ in found[1:]]


@pytest.mark.django_db
def test_steps_are_reported(years: Tenant) -> None:
    fill(years, m6=2, m5=2, m4=5)
    with platform_role():
        assert drop_months() == [
            f"{TABLE}: dropped the months before {month_before(5):%Y-%m-%d}; 2 rows remain",
            f"{TABLE}: dropped the months before {month_before(4):%Y-%m-%d}; 4 rows remain",
            f"{TABLE}: dropped the months before {month_before(2):%Y-%m-%d}; 5 rows remain",
            f"{TABLE}: dropped the months before {month_before(1):%Y-%m-%d}; 5 rows remain",
        ]
        assert drop_months() == []


@pytest.mark.django_db
def test_space_of_an_empty_month_between_full_ones_is_freed(years: Tenant) -> None:
    fill(years, m6=9, m5=1, m4=9)
    emptied = f"{TABLE}_{named(5)}"
    with owner_role(), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} SELECT (jsonb_populate_record(t, jsonb_build_object('id', "
            "overlay(t.id::text PLACING right(gen_random_uuid()::text, 12) FROM 25)))).* "
            f"FROM {emptied} t, generate_series(1, 2000)"
        )
    check_constraints_now()
    with platform_role():
        rows = Receipt.objects.filter(id__range=[ids.first_id_at(month_before(ago)) for ago in (5, 4)])
        assert rows._raw_delete(rows.db) == 2001
    check_constraints_now()
    size = value("SELECT pg_total_relation_size(%s)", emptied)
    months()
    assert names()[:4] == ["initial", named(6), named(5), named(4)]
    assert value("SELECT pg_total_relation_size(%s)", emptied) < size / 10  # type: ignore[operator]


@pytest.mark.django_db
def test_the_login_drops_no_month(years: Tenant) -> None:
    with unit_of_work(years.id), pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        value("SELECT threada_drop_month(%s, 8)", TABLE)


@pytest.mark.django_db(transaction=True)
def test_months_go_while_receipts_are_written(tenant: Tenant) -> None:
    add_past_months(TABLE, 6)
    try:
        kept = fill(tenant, m6=500, m5=1000)

        def write() -> None:
            record(Entry(kind="thing.done"), ctx=acting_system(tenant))
            assert Receipt.objects.order_by("-id")[:20]

        one, two = (Writer(tenant, write) for _ in range(2))
        with one, two:
            months()
        assert "\n".join(one.failures + two.failures) == ""
        assert names()[:2] == ["initial", named(1)]
        with platform_role():
            written = Receipt.objects.filter(kind="thing.done").count()
        assert written == len(kept) + 1 + len(one.waits) + len(two.waits)
    finally:
        renew(TABLE)
