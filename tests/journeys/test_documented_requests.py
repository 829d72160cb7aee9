"""The two documented requests work unchanged in the demo tenant."""

from __future__ import annotations

import re

from tests.jobs import queued_jobs
from tests.journeys.demo import Demo

PAYLOAD = {"question": "May we share the vendor list with our auditor?", "department": "procurement"}


def test_a_request_for_work_and_its_approval(demo: Demo) -> None:
    demo.wait()
    created = demo.client.post(
        "/work-items", {"workflow_id": "policy_review", "channel_id": "web_main", "payload": PAYLOAD}
    )
    assert created.status_code == 201, created.content
    body = created.json()
    item = body["work_item_id"]
    assert (body["status"], body["workflow_id"], body["channel_id"]) == ("new", "policy_review", "web_main")
    assert re.fullmatch(r"wi_[0-7][0-9a-z]{25}", item)
    assert created.headers["Location"] == f"/work-items/{item}"
    assert created.headers["Threada-Correlation-Id"] == body["correlation_id"]
    assert [name for name, _ in queued_jobs()] == ["workitems.decide_intake"]

    accepted = demo.client.post(
        "/actions/execute", {"work_item_id": item, "action_id": "request_approval", "integration_id": "int_workflow"}
    )
    assert accepted.status_code == 202, accepted.content
    answer = accepted.json()
    assert answer["status"] == "started"
    assert re.fullmatch(r"ex_[0-7][0-9a-z]{25}", answer["execution_id"])
    assert answer["idempotency_key"]
    assert accepted.headers["Retry-After"] == "1"

    assert demo.wait() == ["workitems.run_execution"]
    assert demo.execution(answer["execution_id"])["status"] == "succeeded"
    assert demo.item(item)["status"] == "awaiting_approval"

    step = demo.step_of(item)
    assert step["kind"] == "approval"
    assert step["question"] == f"Should work item {item} go ahead?"
    assert step["envelope"]["action"] is None
    assert step["envelope"]["question"] == step["question"]
    assert step["envelope"]["work_item"]["payload_sha256"] == body["payload_sha256"]
    assert step["envelope"]["evidence"] == [{"kind": "fallback", "content": {"reason": "no_evidence_supplied"}}]
    assert step["waiting_for"] == [{"scope": "decisions:decide", "missing": 1}]

    assert demo.vote("finance-1", step).json()["counted"] is True
    assert demo.item(item)["status"] == "ready"
    assert demo.kinds(item) == [
        "work_item.created",
        "policy.decided",
        "policy.decided",
        "execution.proposed",
        "policy.rechecked",
        "execution.executed",
        "execution.succeeded",
        "decision_step.opened",
        "vote.recorded",
        "decision_step.approved",
    ]
    demo.check_receipts()


def test_the_item_that_the_banner_names_can_be_approved(demo: Demo) -> None:
    item = demo.secrets.work_item_id
    answer = demo.execute(item, action="request_approval", integration="int_workflow")
    assert answer.status_code == 202, answer.content
    demo.wait()
    assert demo.item(item)["status"] == "awaiting_approval"
    assert demo.item(item)["evidence"][0]["content"] == {"reason": "no_evidence_supplied"}


def test_the_shown_token_holds_the_five_documented_scopes(demo: Demo) -> None:
    me = demo.client.get("/me").json()
    assert {"workitems:read", "workitems:write", "workflow:manage", "actions:execute", "telemetry:read"} <= set(
        me["scopes"]
    )
