"""An approval and a unit of a permit are used once: an execution that ended does not run again by SQL."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integrations.models import Execution
from tests.receivers.fixtures import Receiver
from tests.workitems.executions.test_forged_approvals import as_web
from tests.workitems.executions.test_missing_approval import approved, run
from tests.workitems.office import BANK, Office
from tests.workitems.permits.test_permits import ask, finance, in_effect, now
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from workitems.completeness.verify import verify_completeness
from workitems.executions.operator_actions import cancel_execution, reconcile_execution, retry_execution
from workitems.executions.run_execution import begin_execution, run_execution
from workitems.executions.running.claim_set import claim_set

__all__ = ["finance"]

pytestmark = pytest.mark.django_db

FAILED = ("failed", "envelope_mismatch")
UNKNOWN = ("outcome_unknown", "envelope_mismatch")


def put_status(office: Office, execution: Execution, status: str) -> None:
    """Change the status by SQL as the web's login can, and that of the case as far as a retry needs it."""
    case = {"started": "executing", "failed": "failed", "outcome_unknown": "executing"}[status]
    with unit_of_work(office.tenant.id):
        as_web(
            "UPDATE integrations_execution SET status = %s, finished_at = NULL, is_repeatable = true WHERE id = %s",
            [status, execution.id],
        )
        as_web("UPDATE workitems_workitem SET status = %s WHERE id = %s", [case, execution.work_item_id])


def runs_again(office: Office, execution: Execution, bank: Receiver) -> bool:
    """Run an execution, alone and in a set. Return True if the receiver was called again."""
    before = len(bank.requests())
    claimed = claim_set(office.tenant, execution.id, take=lambda _: 10, members=[])
    assert execution.id not in {plan.execution_id for plan in claimed.plans}
    run_execution(office.tenant, execution.id)
    return len(bank.requests()) > before


def state(office: Office, execution: Execution) -> tuple[str, str]:
    found = office.execution(execution)
    return found.status, found.failure


def test_a_succeeded_execution_that_sql_starts(office: Office, bank: Receiver) -> None:
    _, _, execution = approved(office)
    assert run(office, execution) == "succeeded"
    put_status(office, execution, "started")
    assert not runs_again(office, execution, bank)
    assert state(office, execution) == FAILED
    put_status(office, execution, "started")
    assert not runs_again(office, execution, bank)


def test_a_cancelled_execution_that_sql_starts(office: Office, bank: Receiver) -> None:
    _, _, execution = approved(office)
    office.on_execution(execution, cancel_execution)
    put_status(office, execution, "started")
    assert not runs_again(office, execution, bank)
    assert state(office, execution) == FAILED


def test_a_succeeded_execution_that_sql_lets_fail_is_not_retried(office: Office, bank: Receiver) -> None:
    _, _, execution = approved(office)
    assert run(office, execution) == "succeeded"
    put_status(office, execution, "failed")
    office.on_execution(execution, retry_execution)
    assert not runs_again(office, execution, bank)
    assert state(office, execution) == FAILED


def test_an_unknown_outcome_is_not_retried_before_it_is_reconciled(office: Office, bank: Receiver) -> None:
    office.put_bank(idempotent=False, base_url=bank.url)
    bank.behave(fault="close")
    _, _, execution = approved(office)
    assert run(office, execution) == "outcome_unknown"
    bank.behave()
    put_status(office, execution, "failed")
    office.on_execution(execution, retry_execution)
    assert not runs_again(office, execution, bank)
    assert state(office, execution) == FAILED


def test_regular_retries_are_paid(office: Office, bank: Receiver) -> None:
    bank.behave(status=422)
    _, _, execution = approved(office)
    for _ in range(2):
        assert run(office, execution) == "failed"
        office.on_execution(execution, retry_execution)
    bank.behave()
    assert run(office, execution) == "succeeded"


def test_an_execution_whose_failure_nobody_retried(office: Office, bank: Receiver) -> None:
    bank.behave(status=422)
    _, _, execution = approved(office)
    assert run(office, execution) == "failed"
    bank.behave()
    put_status(office, execution, "started")
    assert not runs_again(office, execution, bank)
    assert state(office, execution) == FAILED


def test_an_execution_that_sql_starts_during_its_call(office: Office, bank: Receiver) -> None:
    _, _, execution = approved(office)
    assert begin_execution(office.tenant, execution.id) is not None
    put_status(office, execution, "started")
    assert not runs_again(office, execution, bank)
    assert state(office, execution) == UNKNOWN


def test_an_execution_that_sql_starts_while_it_waits_for_its_callback(office: Office, bank: Receiver) -> None:
    pay = {**BANK["actions"]["pay"], "completes": "callback"}
    office.put_bank(base_url=bank.url, callback_secrets=[{"env": "CALLBACK_SECRET"}], actions={"pay": pay})
    _, _, execution = approved(office)
    assert run(office, execution) == "running"
    put_status(office, execution, "started")
    assert not runs_again(office, execution, bank)
    assert state(office, execution) == UNKNOWN


def test_an_execution_whose_worker_was_lost_is_called_again(office: Office, bank: Receiver) -> None:
    _, _, execution = approved(office)
    assert begin_execution(office.tenant, execution.id) is not None
    office.set_execution(execution, lease_until=clock.now())
    run(office, execution)
    office.set_execution(execution, next_try_at=None)
    assert run(office, execution) == "succeeded"


def paid_by_permit(office: Office) -> tuple[Any, Execution]:
    permit = in_effect(office)
    _, execution, covered = ask(office)
    assert covered
    assert run(office, execution) == "succeeded"
    return permit, execution


def test_a_unit_of_a_permit_is_used_once(finance: Office, bank: Receiver) -> None:
    permit, execution = paid_by_permit(finance)
    put_status(finance, execution, "started")
    assert not runs_again(finance, execution, bank)
    assert state(finance, execution) == FAILED
    assert now(finance, permit).used_count == 1


@pytest.mark.parametrize("status", ["started", "outcome_unknown"])
def test_a_succeeded_execution_returns_no_unit(finance: Office, bank: Receiver, status: str) -> None:
    permit, execution = paid_by_permit(finance)
    put_status(finance, execution, status)
    if status == "started":
        finance.on_execution(execution, cancel_execution)
    else:
        reconciled = {"succeeded": False, "reason": "It failed."}
        finance.join("otto", roles=("tenant_admin",))
        finance.on_execution(execution, reconcile_execution, by="otto", **reconciled)
    assert now(finance, permit).used_count == 1
    assert finance.bodies("permit.returned") == []


def test_verification_names_a_second_success_and_a_call_after_the_end(office: Office, bank: Receiver) -> None:
    """No approval was needed, so nothing is compared before the call."""
    execution = office.execute(office.decided()).execution
    assert run(office, execution) == "succeeded"
    put_status(office, execution, "started")
    assert run(office, execution) == "succeeded"
    [_, call] = office.bodies("execution.executed")
    with unit_of_work(office.tenant.id):
        named = [finding.message for finding in verify_completeness(office.tenant)]
    assert named == [
        f"{execution.public_id}: its receipts say that it ended 2 times (succeeded, succeeded)",
        f"{execution.public_id}: its receipts say that it was called after its end ({call['id']})",
    ]


def test_receipts_are_read_once_before_a_call(office: Office, bank: Receiver) -> None:
    _, _, execution = approved(office)
    with CaptureQueriesContext(connection) as captured:
        assert run(office, execution) == "succeeded"
    assert sum("FROM telemetry_receipt" in query["sql"] for query in captured) == 1
