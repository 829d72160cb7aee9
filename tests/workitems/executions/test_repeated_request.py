"""One execution for each principal and idempotency key, as long as the execution exists, also without stored answers."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from guardian.shortcuts import assign_perm

from integrations.models import Execution
from policies.models import Workflow
from tests.console.sign_in import sign_in
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import BANK, WORKFLOW, Office
from tests.workitems.test_concurrency import at_once
from threada_site.api.models import IdempotencyRecord
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import Scope
from threada_site.personal_data.erasable_fields import BY_RETENTION, ErasedBytes
from workitems.models import WorkItem

KEY = {"Idempotency-Key": "k-1"}
PAY = {"action_id": "pay", "integration_id": "bank"}
CHECK = {"method": "POST", "path": "/checks", "body": {"amount": "${item.payload.amount}"}}


@pytest.fixture
def shop(office: Office, bank: Receiver) -> Office:
    """Return an office whose bank takes `check`, which leaves the item ready, and `pay`, which `refund` undoes."""
    office.upsert_workflow(actions=[*WORKFLOW["actions"], "check", "refund"])
    pay = {**BANK["actions"]["pay"], "undo": "refund"}
    office.put_bank(base_url=bank.url, actions={"check": CHECK, "pay": pay, "refund": {**CHECK, "path": "/refunds"}})
    return office


def check(item: WorkItem, **more: Any) -> dict[str, Any]:
    return {"work_item_id": item.public_id, "action_id": "check", "integration_id": "bank", **more}


def execute(office: Office, body: dict[str, Any], by: str = "rita", **headers: str) -> Any:
    return office.api(by).post("/actions/execute", body, headers=headers or KEY)


def forget_answers(office: Office) -> None:
    """Remove stored answers, as the sweep does after 24 hours."""
    with unit_of_work(office.tenant.id):
        IdempotencyRecord.objects.all().delete()


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["reason_code"]


def test_the_same_request_returns_the_execution_in_its_current_state(shop: Office, bank: Receiver) -> None:
    item = shop.decided()
    first = execute(shop, check(item))
    run_jobs()
    forget_answers(shop)
    for _ in range(2):
        again = execute(shop, check(item))
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
        assert again.headers["Location"] == first.headers["Location"]
        assert again.json() == {**first.json(), "status": "succeeded", "work_item_status": "ready"}
        run_jobs()
    assert (shop.count(Execution), len(bank.requests()), shop.count(IdempotencyRecord)) == (1, 1, 0)


def test_an_ended_item_returns_its_execution(shop: Office) -> None:
    item = shop.decided()
    first = execute(shop, {"work_item_id": item.public_id, **PAY})
    run_jobs()
    forget_answers(shop)
    again = execute(shop, {"work_item_id": item.public_id, **PAY})
    assert (again.status_code, again.json()["execution_id"]) == (202, first.json()["execution_id"])
    assert (again.json()["status"], again.json()["work_item_status"]) == ("succeeded", "resolved")


def test_the_answer_shows_the_step_as_it_is_now(office: Office) -> None:
    item = office.decided(500)
    body = {"work_item_id": item.public_id, **PAY}
    first = execute(office, body)
    for voter in ("fay", "finn"):
        office.vote(office.pending_step(item), voter)
    forget_answers(office)
    again = execute(office, body).json()
    (step,) = first.json()["decision_steps"]
    assert (again["status"], again["decision_steps"]) == ("started", [{**step, "status": "approved"}])


@pytest.mark.parametrize("changed", ["item", "integration", "action", "input", "nothing valid"])
def test_another_body_is_refused_and_changes_nothing(shop: Office, changed: str) -> None:
    item, other = shop.decided(), shop.decided(6)
    first = execute(shop, check(item, input={"note": "a"}))
    run_jobs()
    forget_answers(shop)
    sent = {
        "item": check(other, input={"note": "a"}),
        "integration": {**check(item, input={"note": "a"}), "integration_id": "desk"},
        "action": {**check(item, input={"note": "a"}), "action_id": "pay"},
        "input": check(item, input={"note": "b"}),
        "nothing valid": {"work_item_id": 5},
    }[changed]
    expected = (422, "invalid_request") if changed == "nothing valid" else (422, "idempotency_key_reused")
    assert refusal(execute(shop, sent)) == expected
    again = execute(shop, check(item, input={"note": "a"}))
    assert (again.status_code, again.json()["execution_id"]) == (202, first.json()["execution_id"])
    assert (shop.count(Execution), shop.count(IdempotencyRecord)) == (1, 0)


def test_a_key_made_by_the_server_counts(shop: Office, bank: Receiver) -> None:
    item = shop.decided()
    first = shop.api("rita").post("/actions/execute", check(item)).json()
    run_jobs()
    forget_answers(shop)
    key = {"Idempotency-Key": first["idempotency_key"]}
    assert execute(shop, check(item), **key).json()["execution_id"] == first["execution_id"]
    assert refusal(execute(shop, check(shop.decided()), **key)) == (422, "idempotency_key_reused")
    assert (shop.count(Execution), len(bank.requests())) == (1, 1)


def test_a_key_made_for_a_button_of_the_console_counts(shop: Office) -> None:
    item = shop.decided()
    page = reverse("admin:workitems_workitem_execute", args=[item.public_id])
    sign_in(shop.people["rita"]).post(page, {"action": "bank/check"})
    run_jobs()
    with unit_of_work(shop.tenant.id):
        made = Execution.objects.get()
    key = {"Idempotency-Key": made.idempotency_key}
    assert execute(shop, check(item), **key).json()["execution_id"] == made.public_id
    assert refusal(execute(shop, check(item, input={"a": 1}), **key)) == (422, "idempotency_key_reused")
    assert shop.count(Execution) == 1


def test_an_amended_execution_is_compared_with_the_input_it_was_requested_with(shop: Office) -> None:
    item = shop.decided()
    first = execute(shop, check(item, input={"note": "a"}))
    run_jobs()
    forget_answers(shop)
    with unit_of_work(shop.tenant.id):
        Execution.objects.update(input={"note": "b"})
    assert execute(shop, check(item, input={"note": "a"})).json()["execution_id"] == first.json()["execution_id"]
    assert refusal(execute(shop, check(item, input={"note": "b"}))) == (422, "idempotency_key_reused")


def test_keys_are_separate_for_each_principal(shop: Office) -> None:
    shop.join("rolf", roles=("operator",))
    item = shop.decided()
    first = execute(shop, check(item))
    run_jobs()
    forget_answers(shop)
    second = execute(shop, check(item), by="rolf")
    assert (second.status_code, shop.count(Execution)) == (202, 2)
    assert second.json()["execution_id"] != first.json()["execution_id"]


def test_without_the_right_to_execute_nothing_is_returned(shop: Office) -> None:
    item = shop.decided()
    execute(shop, check(item))
    run_jobs()
    forget_answers(shop)
    shop.upsert_workflow("travel")
    shop.join("remo", roles=("viewer",))
    with unit_of_work(shop.tenant.id):
        assign_perm(Scope.ACTIONS_EXECUTE.codename, shop.people["remo"], Workflow.objects.get(slug="travel"))
        Execution.objects.update(requested_by=shop.people["remo"].id)
    assert refusal(execute(shop, check(item), by="remo")) == (403, "permission_denied")
    assert refusal(execute(shop, check(shop.decided()), by="remo")) == (403, "permission_denied")


def test_an_undo_is_repeated_with_its_key(shop: Office, bank: Receiver) -> None:
    paid = execute(shop, {"work_item_id": shop.decided().public_id, **PAY}, **{"Idempotency-Key": "paid"})
    run_jobs()
    undo = f"/executions/{paid.json()['execution_id']}/undo"
    rita = shop.api("rita")
    assert refusal(rita.post(undo, {}, headers={"Idempotency-Key": "paid"})) == (422, "idempotency_key_reused")
    first = rita.post(undo, {}, headers=KEY)
    run_jobs()
    forget_answers(shop)
    again = rita.post(undo, {"input": {}}, headers=KEY)
    assert (again.status_code, again.json()["execution_id"]) == (202, first.json()["execution_id"])
    assert again.json()["status"] == "succeeded"
    assert refusal(rita.post(undo, {"input": {"a": 1}}, headers=KEY)) == (422, "idempotency_key_reused")
    assert refusal(execute(shop, check(shop.decided()))) == (422, "idempotency_key_reused")
    assert [call["path"] for call in bank.requests()] == ["/payments", "/refunds"]


def test_an_execution_without_contents_cannot_be_compared(shop: Office) -> None:
    item = shop.decided()
    execute(shop, check(item))
    run_jobs()
    forget_answers(shop)
    with unit_of_work(shop.tenant.id):
        WorkItem.objects.update(payload_salt=ErasedBytes(BY_RETENTION))
    assert refusal(execute(shop, check(item)))[1] == "contents_removed"
    assert shop.count(Execution) == 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_after_the_answers_are_gone(shop: Office, bank: Receiver) -> None:
    for number in range(3):
        item, key = shop.decided(), {"Idempotency-Key": f"k-{number}"}
        first = execute(shop, check(item), **key).json()["execution_id"]
        run_jobs()
        forget_answers(shop)
        answers = at_once(*(lambda: execute(shop, check(item), **key) for _ in range(4)))  # noqa: B023
        assert {answer.status_code for answer in answers} <= {202, 409}
        assert {answer.json()["execution_id"] for answer in answers if answer.status_code == 202} == {first}
        assert {refusal(answer) for answer in answers if answer.status_code == 409} <= {(409, "idempotency_in_flight")}
        run_jobs()
        assert (shop.count(Execution), len(bank.requests())) == (number + 1, number + 1)


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_on_two_paths_create_one_execution(shop: Office) -> None:
    """The lock of a key covers one path, so the unique index decides."""
    for number in range(3):
        key = {"Idempotency-Key": f"k-{number}"}
        paid = shop.execute(shop.decided(), idempotency_key=f"p-{number}").execution
        run_jobs()
        item, before = shop.decided(), shop.count(Execution)
        answers = at_once(
            lambda: execute(shop, check(item), **key),  # noqa: B023
            lambda: shop.api("rita").post(f"/executions/{paid.public_id}/undo", {}, headers=key),  # noqa: B023
        )
        assert shop.count(Execution) == before + 1
        (late,) = [answer for answer in answers if answer.status_code != 202]
        assert refusal(late) in {(409, "idempotency_in_flight"), (422, "idempotency_key_reused")}
        run_jobs()
