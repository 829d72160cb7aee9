"""Reviews, edits, cancelling and resolving of cases before an execution."""

from __future__ import annotations

from tests.journeys.demo import LARGE, SMALL, Demo
from tests.receivers.fixtures import Receiver


def test_an_unsure_request_is_reviewed_and_then_ready(demo: Demo, bank: Receiver) -> None:
    item = demo.hand_in(SMALL, confidence=0.4)
    demo.wait()
    assert demo.item(item)["status"] == "in_review"
    refused = demo.execute(item)
    assert (refused.status_code, refused.json()["reason_code"]) == (409, "review_pending")
    step = demo.step_of(item)
    assert (step["kind"], step["execution_id"], step["envelope"]["action"]) == ("review", None, None)
    assert demo.vote("finance-1", step).json()["work_item_status"] == "ready"
    assert demo.execute(item).json()["status"] == "started"
    demo.wait()
    assert len(bank.requests()) == 1
    assert demo.item(item)["status"] == "resolved"


def test_a_review_is_rejected_with_a_reason(demo: Demo) -> None:
    item = demo.hand_in(SMALL, confidence=0.4)
    demo.wait()
    answer = demo.vote("finance-1", demo.step_of(item), "reject", reason_code="DUPLICATE", comment="Paid in May.")
    assert (answer.json()["step_status"], answer.json()["work_item_status"]) == ("rejected", "rejected")
    recorded = next(event for event in demo.story(item) if event["kind"] == "vote.recorded")
    assert recorded["reason_codes"] == ["DUPLICATE"]
    assert demo.client.post(f"/work-items/{item}/cancel", {}).json()["reason_code"] == "transition_not_allowed"


def test_executing_an_unsure_new_item_opens_the_review(demo: Demo) -> None:
    item = demo.hand_in(SMALL, confidence=0.4)
    refused = demo.execute(item)
    assert (refused.status_code, refused.json()["reason_code"]) == (409, "review_pending")
    assert demo.item(item)["status"] == "in_review"
    assert demo.step_of(item)["kind"] == "review"


def test_an_edit_voids_votes_and_restarts_intake(demo: Demo, bank: Receiver) -> None:
    item = demo.hand_in(LARGE)
    execution = demo.execute(item).json()["execution_id"]
    step = demo.step_of(item)
    demo.vote("finance-1", step)

    smaller = {**LARGE, "amount_minor": 1_500_000}
    edited = demo.client.edit(f"/work-items/{item}", {"payload": smaller})
    assert edited.status_code == 200, edited.content
    assert (edited.json()["status"], edited.json()["version"]) == ("new", 2)
    assert demo.execution(execution)["status"] == "cancelled"
    old = demo.client.get(f"/decision-steps/{step['decision_step_id']}").json()
    assert old["status"] == "superseded"
    late = demo.vote("finance-2", step)
    assert (late.status_code, late.json()["reason_code"]) == (409, "step_closed")

    demo.wait()
    assert demo.item(item)["status"] == "ready"
    demo.execute(item)
    new = demo.step_of(item)
    assert new["envelope_sha256"] != step["envelope_sha256"]
    assert new["votes"] == []
    assert new["envelope"]["work_item"]["version"] == 2
    stale = demo.api("finance-1").post(
        f"/decision-steps/{new['decision_step_id']}/votes",
        {"decision": "approve", "envelope_sha256": step["envelope_sha256"]},
    )
    assert (stale.status_code, stale.json()["reason_code"]) == (409, "envelope_changed")
    assert stale.json()["envelope_sha256"] == new["envelope_sha256"]
    demo.vote("finance-1", new)
    demo.vote("finance-2", new)
    demo.wait()
    (call,) = bank.requests()
    assert '"amount_minor":1500000' in call["body"]
    kinds = demo.kinds(item)
    assert kinds[kinds.index("decision_step.superseded") :][:3] == [
        "decision_step.superseded",
        "execution.cancelled",
        "work_item.edited",
    ]


def test_an_edit_needs_the_tag_that_was_read_when_it_names_one(demo: Demo) -> None:
    item = demo.hand_in(SMALL)
    tag = demo.client.get(f"/work-items/{item}").headers["ETag"]
    first = demo.client.patch(f"/work-items/{item}", {"payload": LARGE}, headers={"If-Match": tag})
    assert first.status_code == 200
    second = demo.client.patch(f"/work-items/{item}", {"payload": SMALL}, headers={"If-Match": tag})
    assert (second.status_code, second.json()["reason_code"]) == (412, "precondition_failed")
    assert demo.item(item)["payload"] == LARGE


def test_a_review_approved_for_the_same_payload_is_not_asked_again(demo: Demo) -> None:
    item = demo.hand_in(SMALL, confidence=0.4)
    demo.wait()
    demo.vote("finance-1", demo.step_of(item))
    demo.client.edit(f"/work-items/{item}", {"payload": LARGE})
    demo.wait()
    assert demo.item(item)["status"] == "in_review"
    demo.vote("finance-1", demo.step_of(item))
    demo.client.edit(f"/work-items/{item}", {"payload": SMALL})
    demo.wait()
    assert demo.item(item)["status"] == "ready"


def test_cancelling_takes_step_and_execution_along(demo: Demo, bank: Receiver) -> None:
    item = demo.hand_in(LARGE)
    execution = demo.execute(item).json()["execution_id"]
    step = demo.step_of(item)
    answer = demo.client.post(f"/work-items/{item}/cancel", {"reason": "Duplicate request."})
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert demo.execution(execution)["status"] == "cancelled"
    assert demo.client.get(f"/decision-steps/{step['decision_step_id']}").json()["status"] == "cancelled"
    assert demo.kinds(item)[-3:] == ["decision_step.cancelled", "execution.cancelled", "work_item.cancelled"]
    assert demo.vote("finance-1", step).json()["reason_code"] == "step_closed"
    assert demo.execute(item).json()["reason_code"] == "transition_not_allowed"


def test_resolving_by_hand(demo: Demo) -> None:
    item = demo.hand_in(SMALL)
    early = demo.client.post(f"/work-items/{item}/resolve", {})
    assert (early.status_code, early.json()["reason_code"]) == (409, "transition_not_allowed")
    demo.wait()
    answer = demo.client.post(f"/work-items/{item}/resolve", {"reason": "Done by phone."})
    assert answer.json()["status"] == "resolved"


def test_the_closing_action_resolves(demo: Demo) -> None:
    item = demo.hand_in({"question": "May we?"}, workflow="policy_review")
    demo.execute(item, action="close", integration="int_workflow")
    demo.wait()
    assert demo.item(item)["status"] == "resolved"


def test_assigning(demo: Demo) -> None:
    item = demo.hand_in({"question": "May we?"}, workflow="policy_review")
    wrong = demo.execute(item, action="assign", integration="int_workflow")
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/input/to")
    unknown = demo.execute(item, action="assign", integration="int_workflow", input={"to": "ghost"})
    demo.wait()
    failed = demo.execution(unknown.json()["execution_id"])
    assert (failed["status"], failed["failure"]) == ("failed", "rejected_by_receiver")
    assert demo.item(item)["status"] == "failed"
    demo.execute(item, action="assign", integration="int_workflow", input={"to": "finance-1"})
    demo.wait()
    shown = demo.item(item)
    assert (shown["status"], shown["assignee"] is not None) == ("ready", True)


def test_two_teams_agree_at_intake(demo: Demo) -> None:
    payload = {"vendor": "Hooli", "handles_personal_data": False}
    item = demo.hand_in(payload, workflow="vendor_security_review")
    demo.wait()
    step = demo.step_of(item)
    assert (step["kind"], step["execution_id"]) == ("approval", None)
    pending = demo.execute(item, action="request_approval", integration="int_workflow")
    assert (pending.status_code, pending.json()["reason_code"]) == (409, "approval_pending")
    demo.vote("finance-1", step)
    assert demo.vote("finance-2", step).json()["step_status"] == "pending"
    assert demo.vote("security-1", step).json()["work_item_status"] == "ready"


def test_claiming_and_releasing(demo: Demo) -> None:
    item = demo.hand_in(LARGE)
    demo.execute(item)
    step = demo.step_of(item)["decision_step_id"]
    one, two = demo.api("finance-1"), demo.api("finance-2")
    assert one.post(f"/decision-steps/{step}/claim", {}).json()["claimed_by"] is not None
    held = two.post(f"/decision-steps/{step}/claim", {})
    assert (held.status_code, held.json()["reason_code"]) == (409, "step_claimed")
    assert two.post(f"/decision-steps/{step}/release", {}).json()["reason_code"] == "step_claimed"
    outsider = demo.api("security-1").post(f"/decision-steps/{step}/claim", {})
    assert (outsider.status_code, outsider.json()["reason_code"]) == (403, "voter_not_eligible")
    assert one.post(f"/decision-steps/{step}/release", {}).json()["claimed_by"] is None
    assert two.post(f"/decision-steps/{step}/claim", {}).status_code == 200
    mine = two.get("/decision-steps", {"mine": "true"}).json()["data"]
    assert [entry["decision_step_id"] for entry in mine] == [step]
    assert demo.api("security-1").get("/decision-steps", {"mine": "true"}).json()["data"] == []
