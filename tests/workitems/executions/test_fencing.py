"""A worker that was given up for dead comes back: whatever it brings changes nothing."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from integrations.executions.lease import Lease, acquire_lease, renew_lease
from integrations.models import Attempt, Execution, IntegrationGauge
from telemetry.models import Receipt
from tests.receivers.fixtures import Receiver
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from workitems.executions.run_execution import run_execution
from workitems.models import WorkItem

pytestmark = pytest.mark.django_db(transaction=True)


def everything(office: Office) -> dict[str, Any]:
    """All that a settlement could have changed."""
    with unit_of_work(office.tenant.id):
        return {
            "executions": list(Execution.objects.order_by("id").values()),
            "attempts": list(Attempt.objects.order_by("id").values()),
            "items": list(WorkItem.objects.order_by("id").values("id", "status", "updated_at")),
            "gauges": list(IntegrationGauge.objects.values()),
            "receipts": list(Receipt.objects.order_by("id").values_list("kind", "body_sha256")),
        }


def run_slowly(office: Office, bank: Receiver, execution: Execution) -> threading.Thread:
    """Run a call of two seconds in a thread; its lease expires as soon as the receiver has the request."""

    def work() -> None:
        try:
            run_execution(office.tenant, execution.id)
        finally:
            connection.close()

    bank.behave(delay_s=2)
    worker = threading.Thread(target=work)
    worker.start()
    bank.wait_for(1)
    office.set_execution(execution, lease_until=clock.now() - timedelta(seconds=1))
    return worker


def test_a_late_success_changes_nothing_once_another_worker_has_succeeded(office: Office, bank: Receiver) -> None:
    execution = office.execute(office.decided()).execution
    late = run_slowly(office, bank, execution)
    bank.behave(body={"by": "the second"})
    run_execution(office.tenant, execution.id)
    office.set_execution(execution, next_try_at=None)
    run_execution(office.tenant, execution.id)
    settled = everything(office)
    assert office.execution(execution).status == "succeeded"
    late.join(20)
    assert everything(office) == settled
    with unit_of_work(office.tenant.id):
        tries = list(Attempt.objects.order_by("number").values_list("fencing_token", "outcome", "failure", "ambiguous"))
    assert tries == [(1, "failed", "worker_lost", True), (2, "succeeded", "", False)]
    assert [body["outcome"]["status"] for body in office.bodies("execution.succeeded")] == ["succeeded"]


def test_a_late_success_does_not_decide_what_a_person_has_to(office: Office, bank: Receiver) -> None:
    office.put_bank(base_url=bank.url, idempotent=False)
    execution = office.execute(office.decided()).execution
    late = run_slowly(office, bank, execution)
    run_execution(office.tenant, execution.id)
    settled = everything(office)
    assert office.execution(execution).status == "outcome_unknown"
    late.join(20)
    assert everything(office) == settled
    assert len(bank.requests()) == 1


def test_a_late_failure_does_not_undo_a_running_try(office: Office, bank: Receiver) -> None:
    execution = office.execute(office.decided()).execution
    bank.behave(status=422)
    late = run_slowly(office, bank, execution)
    run_execution(office.tenant, execution.id)
    with unit_of_work(office.tenant.id):
        locked = Execution.objects.select_for_update().get(id=execution.id)
        lease = acquire_lease(locked, now=clock.now())
    settled = everything(office)
    late.join(20)
    assert everything(office) == settled
    assert office.execution(execution).status == "running"
    with unit_of_work(office.tenant.id):
        assert renew_lease(lease)
        assert not renew_lease(Lease(lease.execution_id, lease.attempt_id, lease.fencing_token - 1))
