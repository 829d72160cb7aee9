"""Partitioning of executions and attempts by month: converted in use, unique across months, dropped when empty."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from integrations.models import OPEN_EXECUTION_STATUSES, Attempt, Execution, ExecutionSlot
from telemetry.tasks import months
from tests.by_month import (
    MAX_WAIT_S,
    Writer,
    add_past_months,
    id_in_month,
    join_months,
    month_before,
    partition_under,
    parts,
    renew,
    shape,
    stray_indexes,
    value,
)
from tests.threada_site.tenancy.rows import RowMaker, check_constraints_now
from threada_site.database.isolation_checks import isolation_problems
from threada_site.database.partitioning import partition_by_month
from threada_site.database.roles import owner_role, platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant
from workitems.models import DecisionStep, WorkItem

TABLES = ("integrations_execution", "integrations_attempt")
ROWS = 20_000
NOW = datetime.now(UTC)


def copied(execution: Execution, **values: object) -> Execution:
    """Insert another execution of another item."""
    copy = Execution.objects.get(id=execution.id)
    for name, new in {"id": ids.new_uuid(), "work_item_id": ids.new_uuid(), "status": "started", **values}.items():
        setattr(copy, name, new)
    copy.save(force_insert=True)
    return copy


def tried(execution: Execution, *, number: int = 1, **values: object) -> Attempt:
    return Attempt.objects.create(
        tenant_id=execution.tenant_id,
        execution_id=execution.id,
        number=number,
        fencing_token=number,
        started_at=NOW,
        **values,
    )


@pytest.fixture
def execution(tenant: Tenant) -> Execution:
    with unit_of_work(tenant.id):
        maker = RowMaker(tenant)
        maker.one(Attempt)
        maker.one(DecisionStep)
        return maker.one(Execution)  # type: ignore[return-value]


@pytest.fixture
def plain(execution: Execution) -> Iterator[Execution]:
    join_months(*reversed(TABLES))
    yield execution
    renew(*TABLES)


def at(days: int) -> uuid.UUID:
    """Return a new id with a time `days` ago."""
    return uuid.UUID(int=ids.first_id_at(NOW - timedelta(days=days)).int | ids.new_uuid().int & (2**64 - 1))


def fill(execution: Execution, *, until: datetime = NOW) -> None:
    """Insert ended executions, one every 100 s until then, with one attempt each."""
    with owner_role(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.tenant', %s, false)", [str(execution.tenant_id)])
        cursor.execute(
            "CREATE TEMPORARY TABLE made AS SELECT overlay(threada_first_id((%s - n * interval '100 s') "
            "AT TIME ZONE 'UTC')::text PLACING right(gen_random_uuid()::text, 12) FROM 25)::uuid AS id "
            "FROM generate_series(1, %s) n",
            [until, ROWS],
        )
        for table, of, new in (
            (TABLES[0], execution.id, "'id', m.id, 'status', 'succeeded', 'work_item_id', gen_random_uuid()"),
            (TABLES[1], Attempt.objects.get().id, "'id', m.id, 'execution_id', m.id"),
        ):
            cursor.execute(
                "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute "
                "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
                [table],
            )
            names = cursor.fetchone()[0]
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            cursor.execute(
                f"INSERT INTO {table} ({names}) SELECT {names} FROM (SELECT (jsonb_populate_record(t, "
                f"jsonb_build_object({new}))).* FROM {table} t, made m WHERE t.id = %s) copies",
                [of],
            )
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
            cursor.execute(f"ANALYZE {table}")
        cursor.execute("DROP TABLE made")
        cursor.execute("SELECT set_config('app.tenant', '', false)")


@pytest.mark.django_db(transaction=True)
def test_the_tables_are_partitioned_while_executions_run(
    plain: Execution, tenant: Tenant, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [shape(table) for table in TABLES]
    with unit_of_work(tenant.id):
        fill(plain)

    def run() -> None:
        made = copied(plain)
        attempt = tried(made)
        Execution.objects.filter(id=made.id, status="started").update(status="running", lease_until=NOW)
        Attempt.objects.filter(id=attempt.id).update(outcome="succeeded", finished_at=NOW)
        assert Execution.objects.filter(id=made.id).update(status="succeeded") == 1

    one, two = (Writer(tenant, run) for _ in range(2))
    longest = partition_under(one, two, *TABLES)
    with capsys.disabled():
        print(f" {len(one.waits) + len(two.waits)} runs, the longest took {longest * 1000:.0f} ms ", end="")
    assert longest < MAX_WAIT_S
    assert [shape(table) for table in TABLES] == before
    assert stray_indexes() == []
    with platform_role():
        there = 1 + ROWS + len(one.waits) + len(two.waits)
        assert (Execution.objects.count(), Attempt.objects.count()) == (there, there)
    assert value("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 AND NOT convalidated") == 0
    assert list(isolation_problems()) == []


@pytest.mark.django_db(transaction=True)
def test_references_that_were_not_validated_yet_are(plain: Execution) -> None:
    """The migration was killed right after the swap."""
    with owner_role(), connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {TABLES[0]} ADD CONSTRAINT {TABLES[0]}_before CHECK (id < %s)", [ids.LAST])
        cursor.execute("SELECT threada_partition_by_month(%s, 3, 'id')", [TABLES[0]])
        open_ = "SELECT count(*) FROM pg_constraint WHERE conname = 'decisionstep_execution_fk' AND NOT convalidated"
        assert value(open_) == 1
        partition_by_month(TABLES[0], now=NOW)
        assert value(open_) == 0


@pytest.mark.django_db
class TestOnce:
    @pytest.mark.parametrize("status", OPEN_EXECUTION_STATUSES)
    def test_an_item_has_one_open_execution(self, execution: Execution, tenant: Tenant, status: str) -> None:
        with unit_of_work(tenant.id):
            first = copied(execution, id=at(70), status=status)
            with pytest.raises(IntegrityError, match="executionslot_pkey"), transaction.atomic():
                copied(execution, work_item_id=first.work_item_id)
            copied(execution, work_item_id=first.work_item_id, status="failed")
            Execution.objects.filter(id=first.id).update(status="succeeded")
            copied(execution, work_item_id=first.work_item_id)

    def test_a_retry_does_not_open_a_second_one(self, execution: Execution, tenant: Tenant) -> None:
        with unit_of_work(tenant.id):
            first = copied(execution, id=at(40), status="failed")
            second = copied(execution, work_item_id=first.work_item_id)
            with pytest.raises(IntegrityError, match="executionslot_pkey"), transaction.atomic():
                Execution.objects.filter(id=first.id).update(status="started")
            Execution.objects.filter(id=second.id).update(status="running")
            Execution.objects.filter(id=second.id).update(status="failed")
            assert Execution.objects.filter(id=first.id).update(status="started") == 1

    def test_one_is_taken_back_once(self, execution: Execution, tenant: Tenant) -> None:
        with unit_of_work(tenant.id):
            copied(execution, id=at(40), status="succeeded", undoes_id=execution.id)
            with pytest.raises(IntegrityError, match="executionslot_pkey"), transaction.atomic():
                copied(execution, undoes_id=execution.id)
            copied(execution, undoes_id=execution.id, status="failed")

    def test_slots_are_given_back(self, execution: Execution, tenant: Tenant) -> None:
        def slots() -> set[uuid.UUID]:
            return set(ExecutionSlot.objects.filter(execution_id=made.id).values_list("id", flat=True))

        with unit_of_work(tenant.id):
            made = copied(execution, undoes_id=execution.id)
            item = made.work_item_id
            for status, held in (
                ("running", {item, execution.id}),
                ("failed", set()),
                ("started", {item, execution.id}),
                ("succeeded", {execution.id}),
                ("cancelled", set()),
            ):
                Execution.objects.filter(id=made.id).update(status=status)
                assert slots() == held, status

    def test_numbers_of_attempts_differ(self, execution: Execution, tenant: Tenant) -> None:
        with unit_of_work(tenant.id):
            made = copied(execution, id=at(40))
            tried(made, id=at(40))
            with pytest.raises(IntegrityError, match="attempt_number_once"), transaction.atomic():
                tried(made)
            tried(made, number=2)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("round_", range(5))
def test_one_of_two_concurrent_executions_is_refused(execution: Execution, tenant: Tenant, round_: int) -> None:
    with unit_of_work(tenant.id):
        item = WorkItem.objects.get().id
    ends: list[str] = []
    together = threading.Barrier(2)

    def open_one(days: int) -> None:
        together.wait()
        try:
            with unit_of_work(tenant.id):
                copied(execution, id=at(days), work_item_id=item)
            ends.append("done")
        except IntegrityError:
            ends.append("refused")
        connection.close()

    threads = [threading.Thread(target=open_one, args=(days,)) for days in (0, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["done", "refused"]
    with unit_of_work(tenant.id):
        assert Execution.objects.filter(work_item_id=item).count() == 1


@pytest.mark.django_db
def test_attempts_are_stored_in_the_month_of_their_execution(execution: Execution, tenant: Tenant) -> None:
    for table in TABLES:
        add_past_months(table, 2)
    with unit_of_work(tenant.id):
        made = copied(execution, id=id_in_month(2))
        attempt = tried(made)
        check_constraints_now()
        month = f"{month_before(2):%Y_%m}"
        with owner_role():
            assert [value(f"SELECT count(*) FROM {table}_{month}") for table in TABLES] == [1, 1]
        with pytest.raises(IntegrityError, match="attempt_execution_fk"), transaction.atomic():
            refer_to_nothing(attempt)
        with connection.cursor() as cursor:
            cursor.execute(
                "EXPLAIN UPDATE integrations_attempt SET outcome = 'x' WHERE id = %s AND execution_id = %s",
                [attempt.id, made.id],
            )
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert set(re.findall(r"on (integrations_attempt_\w+)", plan)) == {f"integrations_attempt_{month}"}


def refer_to_nothing(attempt: Attempt) -> None:
    Attempt.objects.filter(id=attempt.id).update(execution_id=ids.new_uuid())
    check_constraints_now()


@pytest.mark.django_db
def test_months_emptied_by_retention_are_dropped_unless_a_case_is_under_legal_hold(
    execution: Execution, tenant: Tenant
) -> None:
    for table in TABLES:
        add_past_months(table, 6)
    with unit_of_work(tenant.id):
        held = copied(execution, id=id_in_month(4), status="succeeded")
        tried(held)
        check_constraints_now()
        before = [shape(table) for table in TABLES]
        months()
        found = [[name.removeprefix(f"{table}_") for name, *_ in parts(table)][:5] for table in TABLES]
        in_place = [f"{month_before(ago):%Y_%m}" for ago in (4, 3, 1)]
        assert found[0][:4] == ["before", *in_place]
        assert found[1][:2] == ["before", in_place[-1]], "nothing refers to attempts, so the one that is left moves"
        assert [shape(table) for table in TABLES] == before
        assert stray_indexes() == []
        assert list(isolation_problems()) == []
        assert Attempt.objects.get(execution_id=held.id).execution.status == "succeeded"
        for ago in (6, 3, 2):
            tried(copied(execution, id=id_in_month(ago)))
        check_constraints_now()


@pytest.mark.django_db
def test_rows_beyond_the_last_month_are_moved_to_their_month(execution: Execution, tenant: Tenant) -> None:
    with unit_of_work(tenant.id):
        late = copied(execution, id=at(-150))
        tried(late)
    check_constraints_now()
    with owner_role():
        for table in TABLES:
            assert value(f"SELECT count(*) FROM {table}_later") == 1
            assert value("SELECT threada_move_late(%s, 6)", table) == 3
            assert value(f"SELECT count(*) FROM {table}_later") == 0
    with unit_of_work(tenant.id):
        assert Attempt.objects.get(execution_id=late.id).execution.slots.count() == 1
    check_constraints_now()
    assert list(isolation_problems()) == []
    assert (
        value("SELECT count(*) FROM pg_constraint WHERE confrelid = %s::regclass AND conparentid = 0", TABLES[0]) == 3
    )


@pytest.mark.django_db(transaction=True)
def test_an_empty_month_of_many_gives_its_space_back(execution: Execution, tenant: Tenant) -> None:
    for table in TABLES:
        add_past_months(table, 2)
    try:
        month = f"{TABLES[0]}_{month_before(2):%Y_%m}"
        with unit_of_work(tenant.id):
            copied(execution, id=at(500), status="succeeded")
            fill(execution, until=month_before(1) - timedelta(hours=1))
            check_constraints_now()
        with platform_role():
            gone = Execution.objects.filter(id__range=bounds(month))
            rows = Attempt.objects.filter(execution__in=gone.values("id"))
            rows._raw_delete(rows.db)
            gone._raw_delete(gone.db)
        size = value("SELECT pg_total_relation_size(%s)", month)

        def write() -> None:
            tried(copied(execution))

        one, two = (Writer(tenant, write) for _ in range(2))
        with one, two:
            months()
        assert one.failures + two.failures == []
        assert value("SELECT pg_total_relation_size(%s)", month) < size / 10  # type: ignore[operator]
        assert [name for name, *_ in parts(TABLES[0])][:3] == [
            f"{TABLES[0]}_before",
            month,
            f"{TABLES[0]}_{month_before(1):%Y_%m}",
        ]
    finally:
        renew(*TABLES)


def bounds(part: str) -> tuple[uuid.UUID | None, uuid.UUID | None]:
    return next((first, end) for name, first, end in parts(TABLES[0]) if name == part)
