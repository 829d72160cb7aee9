"""Refusals: reasons, receipts, and no other changes."""

from __future__ import annotations

import pytest

from tests.client import Api
from tests.factories import make_principal, make_token
from tests.journeys.demo import LARGE, SMALL, Demo
from tests.receivers.fixtures import Receiver
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant
from workitems.models import WorkItem

SANCTIONED = {"vendor": "Initech", "amount_minor": 5}


def count_items(demo: Demo) -> int:
    with unit_of_work(demo.tenant.id):
        return WorkItem.objects.count()


def test_a_sanctioned_vendor_is_refused_at_intake(demo: Demo, bank: Receiver) -> None:
    item = demo.hand_in(SANCTIONED)
    demo.wait()
    assert demo.item(item)["status"] == "refused"
    decided = demo.story(item)[-1]
    assert (decided["kind"], decided["reason_codes"]) == ("policy.decided", ["SANCTIONED_VENDOR"])
    assert decided["body"]["policy"]["matched"][0]["rule"] == "sanctioned-vendor"
    why = demo.client.get(f"/work-items/{item}/explain").json()["why"]
    assert why == ["Policy payments denies it: SANCTIONED_VENDOR (rule sanctioned-vendor)."]
    assert demo.execute(item).status_code == 403
    assert bank.requests() == []


def test_executing_a_new_item_takes_the_intake_decision_first(demo: Demo, bank: Receiver) -> None:
    item = demo.hand_in(SANCTIONED)
    answer = demo.execute(item)
    problem = answer.json()
    assert (answer.status_code, problem["reason_code"], problem["category"]) == (403, "policy_denied", "policy")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["reasons"] == [{"reason": "SANCTIONED_VENDOR", "policy": "payments", "rule": "sanctioned-vendor"}]
    assert demo.item(item)["status"] == "refused"
    assert demo.kinds(item) == ["work_item.created", "policy.decided", "request.refused"]
    demo.wait()
    assert demo.kinds(item) == ["work_item.created", "policy.decided", "request.refused"]
    demo.check_receipts()


def test_further_actions_on_a_refused_item_get_the_same_answer(demo: Demo, bank: Receiver) -> None:
    message = "Initech is on the list of sanctions."
    demo.put_rules(
        {"id": "sanctions", "when": "true", "at": "intake", "effect": "deny", "reason": "LISTED", "message": message}
    )
    item = demo.hand_in(SANCTIONED)
    first, *others = [demo.execute(item) for _ in range(3)]
    refused = first.json()
    assert (first.status_code, refused["reason_code"], refused["category"]) == (403, "policy_denied", "policy")
    listed = {"reason": "LISTED", "policy": "payments", "rule": "sanctions", "message": message}
    assert listed in refused["reasons"]
    kept = {name: value for name, value in refused.items() if name != "correlation_id"}
    for other in others:
        assert (other.status_code, {**other.json(), **kept}) == (403, other.json())
    assert demo.kinds(item) == ["work_item.created", "policy.decided", *["request.refused"] * 3]
    assert [event["reason_codes"] for event in demo.story(item)[2:]] == [["policy_denied"]] * 3
    outcomes = [event["body"]["outcome"] for event in demo.story(item)[2:]]
    assert outcomes[1:] == outcomes[:1] * 2
    assert "message" not in outcomes[0]["reasons"][0]
    demo.check_receipts()


def test_an_action_the_policies_refuse_leaves_the_item_ready(demo: Demo, bank: Receiver) -> None:
    demo.put_rules(
        {"id": "closed", "when": "ctx.action == 'pay'", "at": "execute", "effect": "deny", "reason": "CLOSED"}
    )
    item = demo.hand_in(SMALL)
    answer = demo.execute(item, by=demo.client, input={})
    assert (answer.status_code, answer.json()["reasons"][0]["reason"]) == (403, "CLOSED")
    assert demo.item(item)["status"] == "ready"
    assert demo.client.get("/executions", {"work_item_id": item}).json()["data"] == []
    assert demo.kinds(item) == ["work_item.created", "policy.decided", "policy.decided", "request.refused"]
    demo.wait()
    assert bank.requests() == []


def test_a_refused_key_is_refused_alike_again(demo: Demo, bank: Receiver) -> None:
    item = demo.hand_in(SANCTIONED)
    key = {"Idempotency-Key": "pay-once"}
    body = {"work_item_id": item, "action_id": "pay", "integration_id": "int_bank"}
    first = demo.client.post("/actions/execute", body, headers=key)
    again = demo.client.post("/actions/execute", body, headers=key)
    assert (first.status_code, again.status_code) == (403, 403)
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert demo.kinds(item).count("policy.decided") == 1


@pytest.mark.parametrize(
    ("body", "reason", "pointer"),
    [
        ({"workflow_id": "unheard_of", "payload": {}}, "unknown_workflow", "/workflow_id"),
        ({"workflow_id": "payment_run", "payload": SMALL}, "channel_required", "/channel_id"),
        ({"workflow_id": "payment_run", "channel_id": "fax", "payload": SMALL}, "unknown_channel", "/channel_id"),
        (
            {"workflow_id": "payment_run", "channel_id": "web_main", "payload": {"vendor": "Hooli"}},
            "payload_schema_violation",
            "/payload/amount_minor",
        ),
        (
            {"workflow_id": "policy_review", "payload": {}, "requester": "nobody-here"},
            "unknown_requester",
            "/requester",
        ),
    ],
)
def test_a_request_that_cannot_be_taken_in(demo: Demo, body: dict[str, object], reason: str, pointer: str) -> None:
    before = count_items(demo)
    answer = demo.api("admin").post("/work-items", body)
    assert (answer.status_code, answer.json()["reason_code"]) == (422, reason)
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert count_items(demo) == before
    (event, *_) = demo.client.get("/telemetry/events", {"kind": "request.refused"}).json()["data"]
    assert event["reason_codes"] == [reason]


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({"Authorization": ""}, 401, "credential_missing"),
        ({"Authorization": "Basic abc"}, 401, "credential_invalid"),
        ({"Authorization": "Bearer thr_unknown"}, 401, "credential_invalid"),
        ({"Threada-Tenant": "elsewhere"}, 403, "tenant_mismatch"),
        ({"Threada-Tenant": "Not a slug"}, 403, "tenant_mismatch"),
        ({"Threada-Role": "emperor"}, 403, "role_not_held"),
    ],
)
def test_an_unknown_context_fails_closed(demo: Demo, headers: dict[str, str], status: int, reason: str) -> None:
    before = count_items(demo)
    body = {"workflow_id": "policy_review", "channel_id": "web_main", "payload": {}}
    answer = demo.client.post("/work-items", body, headers=headers)
    assert (answer.status_code, answer.json()["reason_code"]) == (status, reason)
    assert count_items(demo) == before


def test_the_tenant_of_a_credential_is_that_of_the_request(demo: Demo, other_tenant: Tenant) -> None:
    both = make_principal(demo.tenant, "both", roles=("requester",))
    make_principal(other_tenant, "both", roles=("requester",))
    api = Api(make_token(demo.tenant, both))
    body = {"workflow_id": "policy_review", "payload": {}}
    assert api.post("/work-items", body).status_code == 201
    assert api.post("/work-items", body, headers={"Threada-Tenant": "demo"}).status_code == 201
    wrong = api.post("/work-items", body, headers={"Threada-Tenant": "globex"})
    assert wrong.json()["reason_code"] == "tenant_mismatch"


def test_a_role_narrows_what_the_caller_may_do(demo: Demo) -> None:
    api = demo.join("many", roles=("requester", "viewer"))
    body = {"workflow_id": "policy_review", "payload": {}}
    assert api.post("/work-items", body).status_code == 201
    narrowed = api.post("/work-items", body, headers={"Threada-Role": "viewer"})
    assert (narrowed.status_code, narrowed.json()["reason_code"]) == (403, "scope_missing")


def test_an_action_that_is_not_the_workflows(demo: Demo) -> None:
    item = demo.hand_in(LARGE)
    for action, integration, reason in (
        ("assign", "int_workflow", "action_not_allowed"),
        ("fly", "int_workflow", "unknown_action"),
        ("pay", "int_moon", "unknown_integration"),
    ):
        answer = demo.execute(item, action=action, integration=integration, input={"to": "admin"})
        assert (answer.status_code, answer.json()["reason_code"]) == (422, reason)
    assert demo.item(item)["status"] == "new"
