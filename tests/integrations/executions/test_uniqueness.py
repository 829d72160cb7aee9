"""Unique indexes of executions and steps.

They allow one open execution and one pending step per item, one open or succeeded undo of an execution, and one
execution per principal and idempotency key.
"""

from __future__ import annotations

import threading
import uuid

import pytest
from django.db import IntegrityError, connection, transaction

from integrations.models import OPEN_EXECUTION_STATUSES, Attempt, Execution
from tests.threada_site.tenancy.rows import RowMaker
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import Tenant
from workitems.models import DecisionStep, WorkItem


def copied(execution: Execution, **values: object) -> Execution:
    """Return another execution, of another item unless `values` contains the item."""
    copy = Execution.objects.get(id=execution.id)
    columns = {"id": ids.new_uuid(), "work_item_id": ids.new_uuid(), "status": "started"}
    for name, new in {**columns, "idempotency_key": str(columns["id"]), **values}.items():
        setattr(copy, name, new)
    copy.save(force_insert=True)
    return copy


def attempted(execution: Execution, *, number: int = 1) -> Attempt:
    return Attempt.objects.create(
        tenant_id=execution.tenant_id,
        execution_id=execution.id,
        number=number,
        fencing_token=number,
        started_at=clock.now(),
    )


def run_sql(statement: str, *parameters: object) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)


@pytest.fixture
def execution(tenant: Tenant) -> Execution:
    with unit_of_work(tenant.id):
        maker = RowMaker(tenant)
        maker.one(DecisionStep)
        return maker.one(Execution)  # type: ignore[return-value]


@pytest.mark.django_db
@pytest.mark.parametrize("status", OPEN_EXECUTION_STATUSES)
def test_a_second_open_execution_of_an_item_is_rejected(execution: Execution, tenant: Tenant, status: str) -> None:
    with unit_of_work(tenant.id):
        first = copied(execution, status=status)
        with pytest.raises(IntegrityError, match="execution_one_open_per_item"), transaction.atomic():
            copied(execution, work_item_id=first.work_item_id)
        copied(execution, work_item_id=first.work_item_id, status="failed")
        Execution.objects.filter(id=first.id).update(status="succeeded")
        copied(execution, work_item_id=first.work_item_id)


@pytest.mark.django_db
def test_a_retry_next_to_an_open_execution_is_rejected(execution: Execution, tenant: Tenant) -> None:
    with unit_of_work(tenant.id):
        first = copied(execution, status="failed")
        second = copied(execution, work_item_id=first.work_item_id)
        with pytest.raises(IntegrityError, match="execution_one_open_per_item"), transaction.atomic():
            Execution.objects.filter(id=first.id).update(status="started")
        Execution.objects.filter(id=second.id).update(status="failed")
        assert Execution.objects.filter(id=first.id).update(status="started") == 1


@pytest.mark.django_db
@pytest.mark.parametrize("status", [*OPEN_EXECUTION_STATUSES, "succeeded"])
def test_a_second_undo_of_an_execution_is_rejected(execution: Execution, tenant: Tenant, status: str) -> None:
    with unit_of_work(tenant.id):
        first = copied(execution, status=status, undoes_id=execution.id)
        with pytest.raises(IntegrityError, match="execution_undone_once"), transaction.atomic():
            copied(execution, undoes_id=execution.id)
        copied(execution, undoes_id=execution.id, status="failed")
        Execution.objects.filter(id=first.id).update(status="failed")
        copied(execution, undoes_id=execution.id)


@pytest.mark.django_db
@pytest.mark.parametrize("status", [*OPEN_EXECUTION_STATUSES, "succeeded", "failed", "cancelled", "rejected"])
def test_a_second_execution_with_the_key_of_a_principal_is_rejected(
    execution: Execution, tenant: Tenant, status: str
) -> None:
    with unit_of_work(tenant.id):
        first = copied(execution, status=status, idempotency_key="k")
        with pytest.raises(IntegrityError, match="execution_idempotency_key_once"), transaction.atomic():
            copied(execution, idempotency_key="k")
        copied(execution, idempotency_key="k", requested_by=ids.new_uuid())
        Execution.objects.filter(id=first.id).delete()
        copied(execution, idempotency_key="k")


@pytest.mark.django_db
def test_equal_attempt_numbers_of_an_execution_are_rejected(execution: Execution, tenant: Tenant) -> None:
    with unit_of_work(tenant.id):
        attempted(execution)
        with pytest.raises(IntegrityError, match="attempt_number_once"), transaction.atomic():
            attempted(execution)
        attempted(execution, number=2)


@pytest.mark.django_db
class TestDirectSQL:
    def test_a_second_open_execution_of_an_item_is_rejected(self, execution: Execution, tenant: Tenant) -> None:
        statement = "UPDATE integrations_execution SET work_item_id = %s, status = 'outcome_unknown' WHERE id = %s"
        with unit_of_work(tenant.id):
            first = copied(execution, status="running")
            second = copied(execution)
            with pytest.raises(IntegrityError, match="execution_one_open_per_item"):
                run_sql(statement, first.work_item_id, second.id)
            run_sql("UPDATE integrations_execution SET status = 'cancelled' WHERE id = %s", first.id)
            run_sql(statement, first.work_item_id, second.id)

    def test_a_second_execution_with_the_key_of_a_principal_is_rejected(
        self, execution: Execution, tenant: Tenant
    ) -> None:
        statement = "UPDATE integrations_execution SET idempotency_key = %s WHERE id = %s"
        with unit_of_work(tenant.id):
            first, second = copied(execution), copied(execution)
            with pytest.raises(IntegrityError, match="execution_idempotency_key_once"):
                run_sql(statement, first.idempotency_key, second.id)

    def test_a_second_undo_of_an_execution_is_rejected(self, execution: Execution, tenant: Tenant) -> None:
        statement = "UPDATE integrations_execution SET undoes_id = %s, status = 'succeeded' WHERE id = %s"
        with unit_of_work(tenant.id):
            first = copied(execution, undoes_id=execution.id)
            second = copied(execution)
            with pytest.raises(IntegrityError, match="execution_undone_once"):
                run_sql(statement, execution.id, second.id)
            run_sql("UPDATE integrations_execution SET status = 'failed' WHERE id = %s", first.id)
            run_sql(statement, execution.id, second.id)

    def test_a_second_pending_step_of_an_item_is_rejected(self, execution: Execution, tenant: Tenant) -> None:
        statement = "UPDATE workitems_decisionstep SET status = 'pending' WHERE id = ANY (%s)"
        with unit_of_work(tenant.id):
            first = DecisionStep.objects.get()
            DecisionStep.objects.update(status="superseded")
            second = DecisionStep.objects.get()
            second.id = ids.new_uuid()
            second.save(force_insert=True)
            run_sql(statement, [first.id])
            with pytest.raises(IntegrityError, match="decisionstep_one_pending_per_item"):
                run_sql(statement, [second.id])
            run_sql("UPDATE workitems_decisionstep SET status = 'rejected' WHERE id = %s", first.id)
            run_sql(statement, [second.id])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("round_", range(5))
def test_one_of_two_concurrent_executions_is_rejected(execution: Execution, tenant: Tenant, round_: int) -> None:
    with unit_of_work(tenant.id):
        item: uuid.UUID = WorkItem.objects.get().id
    ends: list[str] = []
    together = threading.Barrier(2)

    def open_one() -> None:
        together.wait()
        try:
            with unit_of_work(tenant.id):
                copied(execution, work_item_id=item)
            ends.append("done")
        except IntegrityError:
            ends.append("rejected")
        connection.close()

    threads = [threading.Thread(target=open_one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["done", "rejected"]
    with unit_of_work(tenant.id):
        assert Execution.objects.filter(work_item_id=item).count() == 1
