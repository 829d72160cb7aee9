"""A payment above the limit: two approvals, one call with the approved bytes, and their receipts."""

from __future__ import annotations

import hashlib
import json

from tests.journeys.demo import BANK_TOKEN, LARGE, SMALL, Demo, envelope_bytes
from tests.receivers.fixtures import Receiver
from threada_site.kernel.json.canonical import canonical_bytes


def test_two_from_finance_approve_and_the_bank_is_called_once(demo: Demo, bank: Receiver) -> None:
    item = demo.hand_in(LARGE)
    demo.wait()
    assert demo.item(item)["status"] == "ready"

    answer = demo.execute(item)
    assert answer.status_code == 202, answer.content
    body = answer.json()
    assert body["status"] == "awaiting_approval"
    assert len(body["decision_steps"]) == 1
    step = demo.step_of(item)
    assert step["decision_step_id"] == body["decision_steps"][0]["decision_step_id"]
    assert step["execution_id"] == body["execution_id"]
    assert step["reason_codes"] == ["AMOUNT_OVER_LIMIT"]
    assert step["waiting_for"] == [{"role": "finance", "missing": 2}]
    envelope = envelope_bytes(step)
    assert hashlib.sha256(envelope).hexdigest() == step["envelope_sha256"]
    assert canonical_bytes(json.loads(envelope)) == envelope
    approved_body = {"vendor": "Hooli", "amount_minor": 2_000_000, "reference": item}
    assert step["envelope"]["request"]["body"] == approved_body
    assert BANK_TOKEN.encode() not in envelope

    first = demo.vote("finance-1", step, comment="Matches the contract.")
    assert first.status_code == 201, first.content
    assert (first.json()["counted"], first.json()["step_status"]) == (True, "pending")
    assert demo.wait() == []
    assert bank.requests() == []
    assert demo.step_of(item)["waiting_for"] == [{"role": "finance", "missing": 1}]

    second = demo.vote("finance-2", step)
    assert second.json()["work_item_status"] == "executing"
    assert demo.wait() == ["workitems.run_execution"]

    (call,) = bank.requests()
    assert (call["method"], call["path"]) == ("POST", "/payments")
    assert call["body"].encode() == canonical_bytes(approved_body)
    assert call["headers"]["idempotency-key"] == body["execution_id"]
    assert call["headers"]["authorization"] == f"Bearer {BANK_TOKEN}"
    execution = demo.execution(body["execution_id"])
    assert (execution["status"], execution["attempts_made"]) == ("succeeded", 1)
    assert execution["result"]["body"] == {"ok": True}
    assert demo.item(item)["status"] == "resolved"

    assert demo.kinds(item) == [
        "work_item.created",
        "policy.decided",
        "policy.decided",
        "execution.proposed",
        "decision_step.opened",
        "vote.recorded",
        "vote.recorded",
        "decision_step.approved",
        "execution.approved",
        "policy.rechecked",
        "execution.executed",
        "execution.succeeded",
    ]
    story = demo.story(item)
    envelopes = {event["body"]["inputs"].get("envelope_sha256") for event in story} - {None}
    assert envelopes == {step["envelope_sha256"]}
    text = json.dumps(story)
    assert BANK_TOKEN not in text
    assert "Hooli" not in text
    assert "Matches the contract" not in text
    demo.check_receipts()


def test_a_small_payment_runs_by_itself(demo: Demo, bank: Receiver) -> None:
    item = demo.hand_in(SMALL)
    answer = demo.execute(item)
    assert answer.json()["status"] == "started"
    assert answer.json()["work_item_status"] == "executing"
    demo.wait()
    assert demo.item(item)["status"] == "resolved"
    (call,) = bank.requests()
    assert json.loads(call["body"]) == {**SMALL, "reference": item}


def test_an_agent_advises_and_never_counts(demo: Demo, bank: Receiver) -> None:
    agent = demo.join("robot", kind="agent", roles=("approver", "finance"))
    item = demo.hand_in(LARGE)
    demo.execute(item)
    step = demo.step_of(item)
    vote = agent.post(
        f"/decision-steps/{step['decision_step_id']}/votes",
        {"decision": "approve", "envelope_sha256": step["envelope_sha256"]},
    )
    assert vote.status_code == 201, vote.content
    assert vote.json()["counted"] is False
    demo.vote("finance-1", step)
    shown = demo.step_of(item)
    assert [(vote["voter_kind"], vote["counted"]) for vote in shown["votes"]] == [("agent", False), ("human", True)]
    assert shown["waiting_for"] == [{"role": "finance", "missing": 1}]
    rejected = demo.join("sceptic", kind="agent", roles=("approver", "finance"))
    against = rejected.post(
        f"/decision-steps/{step['decision_step_id']}/votes",
        {"decision": "reject", "envelope_sha256": step["envelope_sha256"], "reason_code": "WRONG_AMOUNT"},
    )
    assert (against.status_code, against.json()["step_status"]) == (201, "pending")
    assert bank.requests() == []


def test_who_asks_does_not_decide(demo: Demo, bank: Receiver) -> None:
    demo.join("carla", roles=("client", "approver", "finance"))
    item = demo.hand_in(LARGE, by=demo.api("carla"))
    demo.execute(item, by=demo.api("finance-2"))  # finance-2 does not have actions:execute
    assert demo.item(item)["status"] == "new"
    demo.execute(item)
    step = demo.step_of(item)
    refused = demo.vote("carla", step)
    assert (refused.status_code, refused.json()["reason_code"]) == (403, "voter_excluded")
    assert demo.step_of(item)["votes"] == []


def test_who_calls_for_the_action_does_not_decide_either(demo: Demo, bank: Receiver) -> None:
    demo.join("carla", roles=("client", "approver", "finance"))
    item = demo.hand_in(LARGE)
    assert demo.execute(item, by=demo.api("carla")).status_code == 202
    step = demo.step_of(item)
    assert demo.vote("carla", step).json()["reason_code"] == "voter_excluded"


def test_one_rejection_ends_it(demo: Demo, bank: Receiver) -> None:
    item = demo.hand_in(LARGE)
    execution = demo.execute(item).json()["execution_id"]
    step = demo.step_of(item)
    without = demo.vote("finance-1", step, "reject")
    assert (without.status_code, without.json()["reason_code"]) == (422, "reason_code_required")
    unknown = demo.vote("finance-1", step, "reject", reason_code="DISLIKE")
    assert (unknown.status_code, unknown.json()["reason_code"]) == (422, "unknown_reason_code")
    rejected = demo.vote("finance-1", step, "reject", reason_code="WRONG_AMOUNT")
    assert rejected.status_code == 201, rejected.content
    assert demo.item(item)["status"] == "rejected"
    assert demo.execution(execution)["status"] == "rejected"
    late = demo.vote("finance-2", step)
    assert (late.status_code, late.json()["reason_code"]) == (409, "step_closed")
    demo.wait()
    assert bank.requests() == []
    assert demo.kinds(item)[-3:] == ["decision_step.rejected", "execution.rejected", "request.refused"]
