"""Simulated executions: the usual path, marked in every record, and never exchanged for real ones."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from integrations.configuration.configure import upsert_integration
from integrations.models import Execution, Integration
from tests.jobs import run_jobs, waiting_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import BANK, WORKFLOW, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.kernel import errors
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES
from workitems.configuration.kinds import KINDS
from workitems.executions.callbacks import take_simulated_answer
from workitems.explain.gather import explain_work_item

MOCK: dict[str, Any] = {
    "connector": "mock",
    "actions": {
        "pay": {"request": {"amount": "${item.payload.amount}"}, "answer": {"paid": True}, "resolves": True},
    },
}


def put(office: Office, spec: dict[str, Any]) -> None:
    with unit_of_work(office.tenant.id):
        KINDS["Integration"].apply({"kind": "Integration", "id": "bank", "spec": spec}, office.system)


@pytest.fixture
def mocked(office: Office) -> Office:
    put(office, MOCK)
    return office


def test_simulated_effect_is_marked_in_every_record(mocked: Office) -> None:
    item, step, execution = mocked.awaiting()
    assert execution.is_simulated
    mocked.vote(step, "fay")
    mocked.vote(step, "finn")
    run_jobs()
    done = mocked.execution(execution)
    assert (done.status, mocked.item(item).status) == ("succeeded", "resolved")
    assert done.result == {"simulated": True, "answer": {"paid": True}}
    for kind in ("execution.proposed", "execution.executed", "execution.succeeded"):
        assert [body["outcome"]["simulated"] for body in mocked.bodies(kind)] == [True]
    shown = mocked.api("ada").get(f"/executions/{execution.public_id}").json()
    assert (shown["simulated"], shown["attempts_made"]) == (True, 1)
    explained = mocked.api("ada").get(f"/work-items/{item.public_id}/explain").json()
    assert explained["simulated"] is True
    assert "pay on bank was simulated: nothing was sent." in explained["why"]


@pytest.mark.parametrize("ends", ["succeeded", "failed", "none"])
def test_a_simulated_callback_comes_by_the_path_of_real_ones(office: Office, ends: str) -> None:
    pay = {**MOCK["actions"]["pay"], "completes": "callback", "callback_after": "PT1H", "callback_status": ends}
    put(office, {"connector": "mock", "actions": {"pay": pay}})
    item = office.decided()
    execution = office.execute(item).execution
    run_jobs()
    waiting = office.execution(execution)
    assert (waiting.status, waiting.result) == ("running", {"simulated": True})
    assert waiting.waiting_until is not None
    assert [job.task for job in waiting_jobs()].count("workitems.simulated_callback") == (ends != "none")
    run_jobs(ahead_of_time=True)
    done = office.execution(execution)
    if ends == "none":
        assert done.status == "running"
        return
    assert done.status == ends
    assert done.result == {"callback": ends, "body": {"simulated": True, "answer": {"paid": True}}}
    assert office.bodies(f"execution.{ends}")[0]["outcome"]["simulated"] is True
    kinds = office.kinds(item)
    take_simulated_answer(office.tenant, execution.id)
    assert office.kinds(item) == kinds, "a repeated job changes nothing"


def test_real_effect_is_not_marked(office: Office, bank: Receiver) -> None:
    item = office.decided()
    execution = office.execute(item).execution
    run_jobs()
    assert office.execution(execution).is_simulated is False
    assert "simulated" not in office.bodies("execution.succeeded")[0]["outcome"]
    assert office.api("ada").get(f"/executions/{execution.public_id}").json()["simulated"] is False
    with unit_of_work(office.tenant.id):
        assert explain_work_item(office.item(item), ctx=office.system).simulated is False


def test_declared_failure_is_retried_and_ends_as_any_other(mocked: Office) -> None:
    put(mocked, {**MOCK, "actions": {"pay": {"fails": "rejected_by_receiver"}}})
    execution = mocked.execute(mocked.decided()).execution
    run_jobs()
    done = mocked.execution(execution)
    assert (done.status, done.failure) == ("failed", "rejected_by_receiver")
    assert mocked.bodies("execution.failed")[0]["outcome"]["simulated"] is True


def test_replacing_a_real_system_is_visible_and_takes_no_approval_along(office: Office, bank: Receiver) -> None:
    """A manager who swallows payments: the version says so, and approvers see the connector before they vote."""
    item, step, execution = office.awaiting()
    office.vote(step, "fay")
    put(office, MOCK)
    run_jobs()
    added = office.bodies("integration.version_added")[-1]["outcome"]
    assert (added["connector_before"], added["connector"], added["simulated"]) == ("http", "mock", True)
    again = office.pending_step(item)
    assert again.id != step.id
    with unit_of_work(office.tenant.id):
        assert b'"connector":"mock"' in bytes(
            type(again).objects.select_related("envelope").get(id=again.id).envelope.body
        )
    assert office.execution(execution).is_simulated
    with pytest.raises(errors.ThreadaError):
        office.vote(step, "finn")
    put(office, {**BANK, "base_url": bank.url})
    run_jobs()
    assert not office.execution(execution).is_simulated
    last = office.pending_step(item)
    for name in ("fay", "finn"):
        office.vote(last, name)
    run_jobs()
    assert len(bank.requests()) == 1
    assert "simulated" not in office.bodies("execution.succeeded")[0]["outcome"]


def test_other_changes_of_the_connector_are_refused(office: Office) -> None:
    mail = {
        "connector": "mail",
        "server": "smtps://mail.example.com",
        "from": "a@example.com",
        "actions": {"pay": {"to": "b@example.com", "subject": "x", "text": "y"}},
    }
    with pytest.raises(errors.Conflict):
        put(office, mail)
    with pytest.raises(errors.Conflict), unit_of_work(office.tenant.id):
        KINDS["Integration"].apply({"kind": "Integration", "id": "desk", "spec": MOCK}, office.system)
    put(office, MOCK)
    with unit_of_work(office.tenant.id):
        assert Integration.objects.get(slug="bank").connector == "mock"


def test_change_to_mock_needs_a_second_person_where_four_eyes_apply(office: Office) -> None:
    with unit_of_work(office.tenant.id):
        turn_on_four_eyes(POLICY_FOUR_EYES, ctx=office.system)
    with pytest.raises(errors.ConfirmationRequired), unit_of_work(office.tenant.id):
        upsert_integration("bank", MOCK, ctx=office.ctx("ada"))
    with unit_of_work(office.tenant.id):
        assert Integration.objects.get(slug="bank").connector == "http"


def test_simulated_and_real_actions_do_not_undo_each_other(office: Office, bank: Receiver) -> None:
    office.upsert_workflow(actions=[*WORKFLOW["actions"], "refund"])
    refund = {"method": "POST", "path": "/refunds"}
    real = {
        **BANK,
        "base_url": bank.url,
        "actions": {"pay": {**BANK["actions"]["pay"], "undo": "refund"}, "refund": refund},
    }
    mock = {**MOCK, "actions": {"pay": {"resolves": True, "undo": "refund"}, "refund": {}}}

    def paid() -> Execution:
        execution = office.execute(office.decided()).execution
        run_jobs()
        return office.execution(execution)

    put(office, mock)
    simulated = paid()
    put(office, real)
    with pytest.raises(errors.ExecutionNotUndoable, match="is a simulated execution"):
        office.execute(office.item_of(simulated), action="refund")
    sent = paid()
    assert len(bank.requests()) == 1
    put(office, mock)
    with pytest.raises(errors.ExecutionNotUndoable, match="a simulated action cannot undo it"):
        office.execute(office.item_of(sent), action="refund")
    office.execute(office.item_of(simulated), action="refund")
    run_jobs()
    assert [
        body["outcome"]["simulated"] for body in office.bodies("execution.succeeded") if "simulated" in body["outcome"]
    ]


def test_mark_that_differs_from_the_version_stops_the_call(mocked: Office) -> None:
    execution = mocked.execute(mocked.decided()).execution
    mocked.set_execution(execution, is_simulated=False)
    run_jobs()
    done = mocked.execution(execution)
    assert (done.status, done.failure) == ("failed", "envelope_mismatch")


def test_operator_disables_it(mocked: Office, settings: Settings) -> None:
    waiting = mocked.execute(mocked.decided()).execution
    item = mocked.decided()
    settings.THREADA_MOCK_CONNECTOR = False
    run_jobs()
    done = mocked.execution(waiting)
    assert (done.status, done.failure) == ("failed", "connector_disabled")
    with pytest.raises(errors.ConnectorDisabled):
        mocked.execute(item)
    with pytest.raises(errors.DocumentInvalid) as refused:
        put(mocked, {**MOCK, "timeout": 5})
    assert [(error.pointer, error.code) for error in refused.value.errors] == [
        ("/spec/connector", "connector_disabled")
    ]
    answer = mocked.api("ada").post("/integrations", {"integration_id": "other", "spec": MOCK})
    assert answer.status_code == 422
