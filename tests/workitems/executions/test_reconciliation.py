"""An unknown outcome is stated by an independent person; after one, a receiver that may act twice is not called again."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from integrations.executions.lease import acquire_lease
from integrations.models import Execution
from tests.console.sign_in import sign_in
from tests.factories import acting_system
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import BANK, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.owners import set_owner
from threada_site.kernel import clock, errors
from threada_site.kernel.context import EntryPoint
from workitems.executions.operator_actions import reconcile_execution, retry_execution
from workitems.executions.run_execution import run_execution

OUTCOME = {"outcome": "failed", "reason": "The bank has no such payment."}


def lost(office: Office, *, by: str = "rita", requested_by: str = "", **item: Any) -> Execution:
    """Return an execution with an unknown outcome: its worker was lost, and its receiver does not deduplicate."""
    office.put_bank(idempotent=False)
    execution = office.execute(office.decided(by=by, **item), by=requested_by or by).execution
    with unit_of_work(office.tenant.id):
        acquire_lease(
            Execution.objects.select_for_update().get(id=execution.id), now=clock.now() - timedelta(minutes=1)
        )
    run_execution(office.tenant, execution.id)
    assert office.execution(execution).status == "outcome_unknown"
    return execution


def reconcile(office: Office, execution: Execution, by: str, *, succeeded: bool = False) -> None:
    office.on_execution(execution, reconcile_execution, by=by, succeeded=succeeded, reason="Asked by phone.")


def own(office: Office, principal: str, owner: str) -> None:
    with unit_of_work(office.tenant.id):
        set_owner(office.people[principal], owner, ctx=office.system)


@pytest.fixture
def crew(office: Office) -> Office:
    """Return an office with an agent owned by olga, a service owned by sue, and rolf and bo, who may execute as well.

    rolf may request on behalf of others.
    """
    for name in ("olga", "sue", "bo"):
        office.join(name, roles=("operator",))
    office.join("rolf", roles=("tenant_admin",))
    office.join("agent", kind="agent")
    office.join("service", kind="service")
    own(office, "agent", "olga")
    own(office, "service", "sue")
    return office


def press(browser: Client, execution: Execution | None, button: str, **sent: str) -> str:
    key = [execution.public_id] if execution else []
    answer = browser.post(reverse(f"admin:integrations_execution_{button}", args=key), sent)
    said = [str(message) for message in get_messages(answer.wsgi_request)]
    browser.get("/console/")  # shows and so forgets the message
    return said[0]


def page_of(browser: Client, execution: Execution) -> str:
    answer = browser.get(reverse("admin:integrations_execution_change", args=[execution.public_id]))
    return str(answer.content.decode())


class TestWhoReconciles:
    @pytest.mark.parametrize("by", ["agent", "service"])
    def test_agents_and_services_do_not(self, crew: Office, by: str) -> None:
        execution = lost(crew)
        for requested in (execution, lost(crew, by=by)):
            with pytest.raises(errors.PersonRequired):
                reconcile(crew, requested, by)
            assert crew.execution(requested).status == "outcome_unknown"

    def test_the_instance_does_not(self, crew: Office) -> None:
        execution = lost(crew)
        system = acting_system(crew.tenant, EntryPoint.COMMAND)
        with pytest.raises(errors.PersonRequired):
            crew.on_execution(
                execution,
                lambda item, row, **_: reconcile_execution(item, row, succeeded=True, reason="x", ctx=system),
            )

    def test_the_person_who_posted_the_item_does_not(self, crew: Office) -> None:
        execution = lost(crew, requested_by="bo")
        with pytest.raises(errors.SecondPersonRequired):
            reconcile(crew, execution, "rita")

    def test_the_person_who_requested_the_action_does_not(self, crew: Office) -> None:
        execution = lost(crew, requested_by="bo")
        with pytest.raises(errors.SecondPersonRequired):
            reconcile(crew, execution, "bo")

    def test_the_named_requester_does_not(self, crew: Office) -> None:
        execution = lost(crew, by="rolf", requested_by="agent", requester="rita")
        with pytest.raises(errors.SecondPersonRequired):
            reconcile(crew, execution, "rita")

    @pytest.mark.parametrize(
        ("by", "requested_by", "owner"),
        [("agent", "agent", "olga"), ("agent", "rita", "olga"), ("rita", "service", "sue")],
    )
    def test_the_owner_of_an_agent_or_service_does_not(
        self, crew: Office, by: str, requested_by: str, owner: str
    ) -> None:
        execution = lost(crew, by=by, requested_by=requested_by)
        with pytest.raises(errors.SecondPersonRequired):
            reconcile(crew, execution, owner)
        reconcile(crew, execution, "bo")

    @pytest.mark.parametrize("succeeded", [True, False])
    def test_another_person_does(self, crew: Office, succeeded: bool) -> None:
        execution = lost(crew, by="agent")
        reconcile(crew, execution, "bo", succeeded=succeeded)
        assert crew.execution(execution).status == ("succeeded" if succeeded else "failed")

    def test_by_the_api(self, crew: Office) -> None:
        execution = lost(crew, by="agent")
        address = f"/executions/{execution.public_id}/reconcile"
        for name, reason in (("agent", "person_required"), ("olga", "second_person_required")):
            answer = crew.api(name).post(address, OUTCOME)
            assert (answer.status_code, answer.json()["reason_code"]) == (403, reason)
        refused = [body["outcome"]["reason_codes"] for body in crew.bodies("request.refused")]
        assert refused == [["person_required"], ["second_person_required"]]
        assert crew.api("bo").post(address, OUTCOME).json()["status"] == "failed"

    def test_by_the_console(self, crew: Office) -> None:
        execution = lost(crew, by="agent")
        button = reverse("admin:integrations_execution_reconcile", args=[execution.public_id])
        olga, bo = sign_in(crew.people["olga"]), sign_in(crew.people["bo"])
        page = page_of(olga, execution)
        assert "nor owns the agent or service that did" in page
        assert (button in page, button in page_of(bo, execution)) == (False, True)
        assert "(second_person_required)" in press(olga, execution, "reconcile", **OUTCOME)
        assert press(bo, execution, "reconcile", **OUTCOME) == "The execution is failed."

    def test_explanation_names_it_to_those_who_may(self, crew: Office) -> None:
        execution = lost(crew, by="agent")
        item = crew.item_of(execution)
        said = {name: crew.api(name).get(f"/work-items/{item}/explain").json() for name in ("agent", "olga", "bo")}
        assert {name: "reconcile the execution" in answer["you_may"] for name, answer in said.items()} == {
            "agent": False,
            "olga": False,
            "bo": True,
        }


def callback_timed_out(office: Office, bank: Receiver) -> Execution:
    """Return an execution whose receiver accepted the call and has not called back in time."""
    pay = {**BANK["actions"]["pay"], "completes": "callback"}
    secrets = [{"env": "CALLBACK_SECRET"}]
    office.put_bank(base_url=bank.url, idempotent=False, callback_secrets=secrets, actions={"pay": pay})
    execution = office.execute(office.decided()).execution
    run_jobs()
    office.set_execution(execution, waiting_until=clock.now() - timedelta(seconds=1))
    run_execution(office.tenant, execution.id)
    return execution


def closed_connection(office: Office, bank: Receiver) -> Execution:
    bank.behave(fault="close")
    office.put_bank(base_url=bank.url, idempotent=False)
    execution = office.execute(office.decided()).execution
    run_jobs()
    bank.behave()
    return execution


def lost_worker(office: Office, bank: Receiver) -> Execution:
    execution = lost(office)
    office.put_bank(base_url=bank.url, idempotent=False)
    return execution


class TestRetry:
    @pytest.mark.parametrize("ambiguous", [closed_connection, lost_worker, callback_timed_out])
    def test_an_ambiguous_execution_is_not_retried(
        self, office: Office, bank: Receiver, monkeypatch: pytest.MonkeyPatch, ambiguous: Any
    ) -> None:
        monkeypatch.setenv("CALLBACK_SECRET", "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        execution = ambiguous(office, bank)
        assert office.execution(execution).status == "outcome_unknown"
        reconcile(office, execution, "ada")
        calls = len(bank.requests())
        with pytest.raises(errors.ExecutionNotRetryable, match="Request a new execution with /actions/execute"):
            office.on_execution(execution, retry_execution, by="ada")
        run_jobs()
        assert (office.execution(execution).status, len(bank.requests())) == ("failed", calls)

    def test_a_receiver_that_deduplicates_is_called_again(self, office: Office, bank: Receiver) -> None:
        retry = {"attempts": 1}
        bank.behave(fault="close")
        office.put_bank(base_url=bank.url, retry=retry)
        execution = office.execute(office.decided()).execution
        run_jobs()
        bank.behave()
        assert office.execution(execution).status == "outcome_unknown"
        reconcile(office, execution, "ada")
        office.on_execution(execution, retry_execution)
        run_jobs()
        assert (office.execution(execution).status, len(bank.requests())) == ("succeeded", 2)

    def test_by_the_api(self, office: Office, bank: Receiver) -> None:
        execution = closed_connection(office, bank)
        reconcile(office, execution, "ada")
        answer = office.api("rita").post(f"/executions/{execution.public_id}/retry", {})
        assert (answer.status_code, answer.json()["reason_code"]) == (409, "execution_not_retryable")
        assert "/actions/execute" in answer.json()["detail"]
        item = office.item_of(execution)
        said = office.api("rita").get(f"/work-items/{item}/explain").json()
        assert said["next"][0] == "The execution cannot be retried, because the receiver may have acted on it."
        assert "retry the execution" not in said["you_may"]
        again = office.api("rita").post(
            "/actions/execute", {"work_item_id": item.public_id, "action_id": "pay", "integration_id": "bank"}
        )
        assert (again.status_code, again.json()["execution_id"] != execution.public_id) == (202, True)

    def test_by_the_console(self, office: Office, bank: Receiver) -> None:
        execution = closed_connection(office, bank)
        reconcile(office, execution, "ada")
        browser = sign_in(office.people["rita"])
        page = page_of(browser, execution)
        assert "Execute the action again on the work item" in page
        assert reverse("admin:integrations_execution_retry", args=[execution.public_id]) not in page
        assert "(execution_not_retryable)" in press(browser, execution, "retry")
        said = press(browser, None, "replay", workflow="", integration="", failure="", limit="10")
        assert said.startswith("0 dead letters are retried")
        assert office.execution(execution).status == "failed"

    def test_in_a_batch(self, office: Office, bank: Receiver) -> None:
        execution = closed_connection(office, bank)
        reconcile(office, execution, "ada")
        assert office.api("rita").get("/executions", {"dead_letter": "true"}).json()["data"] == []
        named = office.api("rita").post("/executions/replays", {"execution_ids": [execution.public_id]}).json()
        assert (named["replayed"], named["refused"][0]["reason_code"]) == ([], "execution_not_retryable")
        assert office.api("rita").post("/executions/replays", {"integration_id": "bank"}).json()["replayed"] == []
        assert office.execution(execution).status == "failed"

    def test_by_command(self, office: Office, bank: Receiver) -> None:
        execution = closed_connection(office, bank)
        reconcile(office, execution, "ada")
        for operation, said in (("list", ""), ("replay", "0 retried, 0 refused\n")):
            out = io.StringIO()
            call_command("dead_letters", operation, "--tenant", office.tenant.slug, stdout=out)
            assert out.getvalue() == said
        assert office.execution(execution).status == "failed"


def test_who_depends_on_the_requester_cannot_reconcile(office: Office) -> None:
    office.join("ed", roles=("client",))
    execution = lost(office)
    office.depend("ed", on="rita")
    with pytest.raises(errors.SecondPersonRequired, match="depend on each other"):
        reconcile(office, execution, "ed")
    office.confirm("ed")
    reconcile(office, execution, "ed")
    assert office.execution(execution).status == "failed"


def test_the_maker_of_the_requesters_account_cannot_reconcile(office: Office) -> None:
    office.depend("rita", on="ada")
    execution = lost(office)
    with pytest.raises(errors.SecondPersonRequired):
        reconcile(office, execution, "ada")
