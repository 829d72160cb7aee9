"""Ids of another tenant are not found: every kind of id, at every address, with the same answer."""

from __future__ import annotations

import pytest

from telemetry.models import Receipt
from tests.client import Api
from tests.factories import make_principal, make_token
from tests.journeys.demo import LARGE, Demo
from tests.receivers.fixtures import Receiver
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant


@pytest.fixture
def stranger(other_tenant: Tenant) -> Api:
    """Return the client of an administrator of another tenant, with every scope there."""
    return Api(make_token(other_tenant, make_principal(other_tenant, "eve", roles=("tenant_admin",))))


def test_no_id_of_another_tenant_is_known(demo: Demo, bank: Receiver, stranger: Api) -> None:
    item = demo.hand_in(LARGE)
    execution = demo.execute(item).json()["execution_id"]
    step = demo.step_of(item)
    ds, sha = step["decision_step_id"], step["envelope_sha256"]
    receipt = demo.story(item)[0]["receipt_id"]
    export = demo.client.post("/telemetry/exports", {}).json()["export_id"]
    test = demo.api("admin").post("/integrations/int_bank/test", {}).json()["integration_test_id"]
    count_before = demo.check_receipts()

    vote = {"decision": "approve", "envelope_sha256": sha}
    reconcile = {"outcome": "succeeded", "reason": "guess"}
    attempts = [
        stranger.get(f"/work-items/{item}"),
        stranger.patch(f"/work-items/{item}", {"payload": LARGE}),
        stranger.post(f"/work-items/{item}/cancel", {}),
        stranger.post(f"/work-items/{item}/resolve", {}),
        stranger.get(f"/work-items/{item}/timeline"),
        stranger.get(f"/work-items/{item}/explain"),
        stranger.get(f"/decision-steps/{ds}"),
        stranger.post(f"/decision-steps/{ds}/votes", vote),
        stranger.post(f"/decision-steps/{ds}/claim", {}),
        stranger.post(f"/decision-steps/{ds}/release", {}),
        stranger.get(f"/executions/{execution}"),
        stranger.post(f"/executions/{execution}/cancel", {}),
        stranger.post(f"/executions/{execution}/retry", {}),
        stranger.post(f"/executions/{execution}/reconcile", reconcile),
        stranger.post("/actions/execute", {"work_item_id": item, "action_id": "pay", "integration_id": "int_bank"}),
        stranger.get(f"/receipts/{receipt}"),
        stranger.get(f"/telemetry/exports/{export}"),
        stranger.get(f"/telemetry/exports/{export}/download"),
        stranger.get("/integrations/int_bank"),
        stranger.post("/integrations/int_bank/test", {}),
        stranger.get(f"/integrations/int_bank/tests/{test}"),
    ]
    for answer in attempts:
        assert (answer.status_code, answer.json()["reason_code"]) == (404, "not_found"), answer.content
        for secret in (item, execution, ds, sha, "demo", "Hooli", "AMOUNT_OVER_LIMIT"):
            assert secret not in answer.content.decode()
    ill_formed = stranger.get("/work-items/wi_nonsense").json()
    foreign = attempts[0].json()
    assert {**ill_formed, "correlation_id": ""} == {**foreign, "correlation_id": ""}

    assert demo.item(item)["status"] == "awaiting_approval"
    assert demo.check_receipts() == count_before
    assert demo.vote("finance-1", step).status_code == 201


def test_lists_and_filters_show_nothing_of_another_tenant(demo: Demo, stranger: Api) -> None:
    item = demo.hand_in(LARGE)
    demo.execute(item)
    for path, query in (
        ("/work-items", {}),
        ("/work-items", {"workflow_id": "payment_run"}),
        ("/decision-steps", {"work_item_id": item}),
        ("/decision-steps", {"mine": "true"}),
        ("/executions", {"work_item_id": item}),
        ("/integrations", {}),
        ("/telemetry/events", {"work_item_id": item}),
    ):
        answer = stranger.get(path, query)
        assert (answer.status_code, answer.json()["data"]) == (200, []), (path, query)
    export = stranger.post("/telemetry/exports", {"filters": {"work_item_id": item}}).json()["export_id"]
    assert b"".join(stranger.get(f"/telemetry/exports/{export}/download").streaming_content) == b""


def test_a_strangers_attempts_are_receipts_of_their_own_tenant(demo: Demo, stranger: Api, other_tenant: Tenant) -> None:
    item = demo.hand_in(LARGE)
    stranger.get(f"/work-items/{item}")
    with unit_of_work(other_tenant.id):
        refused = Receipt.objects.get(kind="request.refused")
        assert (refused.reason_codes, refused.work_item_id) == (["not_found"], None)
    assert "request.refused" not in demo.kinds(item)


def test_workflows_channels_and_people_of_another_tenant_cannot_be_named(demo: Demo, stranger: Api) -> None:
    answer = stranger.post("/work-items", {"workflow_id": "payment_run", "channel_id": "web_main", "payload": LARGE})
    assert answer.json()["reason_code"] == "unknown_workflow"
    theirs = make_principal(Tenant.objects.get(slug="globex"), "gina")
    body = {"workflow_id": "policy_review", "payload": {}, "requester": theirs.public_id}
    mine = demo.api("admin").post("/work-items", body)
    assert mine.json()["reason_code"] == "unknown_requester"
