from __future__ import annotations

from datetime import timedelta

import pytest

from integrations.executions.lease import acquire_lease
from integrations.models import Attempt, Execution
from tests.jobs import queued_jobs, run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, errors
from workitems.executions.close_item import resolve_work_item
from workitems.executions.operator_actions import cancel_execution, reconcile_execution, retry_execution
from workitems.executions.run_execution import run_execution


def failed(office: Office, bank: Receiver) -> Execution:
    bank.behave(status=422)
    execution = office.execute(office.decided()).execution
    run_execution(office.tenant, execution.id)
    bank.behave()
    return office.execution(execution)


def unknown(office: Office) -> Execution:
    """Create an execution whose worker was lost during an action that may not be repeated."""
    office.put_bank(idempotent=False)
    execution = office.execute(office.decided()).execution
    with unit_of_work(office.tenant.id):
        acquire_lease(
            Execution.objects.select_for_update().get(id=execution.id), now=clock.now() - timedelta(minutes=1)
        )
    run_execution(office.tenant, execution.id)
    assert office.execution(execution).status == "outcome_unknown"
    return execution


def test_cancelling_a_waiting_one_closes_its_step(office: Office) -> None:
    item, step, execution = office.awaiting()
    office.on_execution(execution, cancel_execution)
    assert (office.execution(execution).status, office.step(step).status) == ("cancelled", "cancelled")
    assert office.item(item).status == "ready"
    assert office.kinds(item)[-2:] == ["decision_step.cancelled", "execution.cancelled"]
    (told,) = office.bodies("decision_step.cancelled")
    assert told["subject"]["execution_id"] == execution.public_id
    with pytest.raises(errors.StepClosed):
        office.vote(step, "fay")


@pytest.mark.parametrize("status", ["running", "succeeded", "failed", "outcome_unknown", "rejected", "expired"])
def test_what_runs_or_has_ended_is_not_cancelled(office: Office, status: str) -> None:
    execution = office.execute(office.decided()).execution
    office.set_execution(execution, status=status)
    with pytest.raises(errors.ExecutionNotCancellable):
        office.on_execution(execution, cancel_execution)
    assert office.execution(execution).status == status


def test_a_retry_keeps_the_envelope_and_resets_the_attempt_count(office: Office, bank: Receiver) -> None:
    execution = failed(office, bank)
    office.on_execution(execution, retry_execution)
    again = office.execution(execution)
    assert (again.status, again.envelope_id, again.attempts_before, again.finished_at) == (
        "started",
        execution.envelope_id,
        1,
        None,
    )
    assert queued_jobs()[-1][0] == "workitems.run_execution"
    run_jobs()
    assert office.execution(execution).status == "succeeded"


def test_an_item_that_moved_on_is_not_retried(office: Office, bank: Receiver) -> None:
    execution = failed(office, bank)
    with unit_of_work(office.tenant.id):
        from workitems.models import WorkItem

        item = WorkItem.objects.get(id=execution.work_item_id)
    office.on_item(item, resolve_work_item)
    with pytest.raises(errors.ExecutionNotRetryable):
        office.on_execution(execution, retry_execution)
    assert office.execution(execution).status == "failed"


@pytest.mark.parametrize("status", ["awaiting_approval", "started", "running", "succeeded", "outcome_unknown"])
def test_only_what_failed_is_retried(office: Office, status: str) -> None:
    execution = office.execute(office.decided()).execution
    office.set_execution(execution, status=status)
    with pytest.raises(errors.ExecutionNotRetryable):
        office.on_execution(execution, retry_execution)


def test_a_retry_is_looked_at_again(office: Office, bank: Receiver) -> None:
    execution = failed(office, bank)
    office.put_rules({"id": "no", "when": "true", "effect": "deny", "reason": "NO"})
    office.on_execution(execution, retry_execution)
    run_jobs()
    assert office.execution(execution).failure == "policy_denied"
    assert len(bank.requests()) == 1


@pytest.mark.parametrize(("succeeded", "item_status"), [(True, "resolved"), (False, "failed")])
def test_reconciling_sets_the_outcome_and_leaves_a_receipt(office: Office, succeeded: bool, item_status: str) -> None:
    execution = unknown(office)
    office.on_execution(execution, reconcile_execution, by="ada", succeeded=succeeded, reason="asked by phone")
    shown = office.execution(execution)
    assert shown.status == ("succeeded" if succeeded else "failed")
    assert shown.finished_at is not None
    (body,) = office.bodies("execution.reconciled")
    assert body["outcome"] == {"status": shown.status, "work_item_status": item_status}
    with unit_of_work(office.tenant.id):
        assert Attempt.objects.get(execution=execution).ambiguous is True


@pytest.mark.parametrize("status", ["awaiting_approval", "started", "running", "succeeded", "failed"])
def test_only_an_unknown_outcome_is_reconciled(office: Office, status: str) -> None:
    execution = office.execute(office.decided()).execution
    office.set_execution(execution, status=status)
    with pytest.raises(errors.ExecutionNotReconcilable):
        office.on_execution(execution, reconcile_execution, by="ada", succeeded=True, reason="guess")


def test_operator_actions_need_the_execute_scope(office: Office) -> None:
    execution = office.execute(office.decided()).execution
    for operation, more in (
        (cancel_execution, {}),
        (retry_execution, {}),
        (reconcile_execution, {"succeeded": True, "reason": "x"}),
    ):
        with pytest.raises(errors.PermissionDenied):
            office.on_execution(execution, operation, by="fay", **more)
    assert office.execution(execution).status == "started"
