"""One decision about several steps: same rule, same action, each with its hash, all or nothing, capped by risk."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from telemetry.models import Receipt
from tests.jobs import queued_jobs
from tests.workitems.office import ASKS_TWO, RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from workitems.models import DecisionStep, Vote

PATH = "/decision-steps/batch-votes"


def named(*steps: DecisionStep, **changes: str) -> list[dict[str, str]]:
    return [{"decision_step_id": step.public_id, "envelope_sha256": step.envelope_sha256, **changes} for step in steps]


def send(office: Office, by: str, entries: list[dict[str, str]], **more: Any) -> Any:
    return office.api(by).post(PATH, {"decision": "approve", "steps": entries, **more})


def waiting(office: Office, count: int, **more: Any) -> list[DecisionStep]:
    return [office.awaiting(500 + place, **more)[1] for place in range(count)]


def untouched(office: Office, *steps: DecisionStep) -> None:
    assert office.count(Vote) == 0
    assert {office.step(step).status for step in steps} == {"pending"}
    assert [body["kind"] for body in office.bodies("vote.recorded")] == []


def test_two_batches_decide_three_payments(office: Office) -> None:
    steps = waiting(office, 3)
    jobs = len(queued_jobs())
    first = send(office, "fay", named(*steps), comment="Monthly.")
    assert first.status_code == 201
    assert [vote["decision_step_id"] for vote in first.json()["votes"]] == [step.public_id for step in steps]
    assert {vote["step_status"] for vote in first.json()["votes"]} == {"pending"}
    second = send(office, "finn", named(*reversed(steps)))
    assert [(vote["step_status"], vote["work_item_status"]) for vote in second.json()["votes"]] == [
        ("approved", "executing")
    ] * 3
    assert [name for name, _ in queued_jobs()[jobs:]] == ["workitems.run_execution"] * 3
    assert len(office.bodies("vote.recorded")) == 6
    with unit_of_work(office.tenant.id):
        assert set(Vote.objects.filter(voter=office.people["fay"]).values_list("comment", flat=True)) == {"Monthly."}


def test_a_batch_can_reject(office: Office) -> None:
    steps = waiting(office, 2)
    assert send(office, "fay", named(*steps), decision="reject").json()["reason_code"] == "reason_code_required"
    untouched(office, *steps)
    assert send(office, "fay", named(*steps), decision="reject", reason_code="WRONG").status_code == 201
    assert {office.step(step).status for step in steps} == {"rejected"}


def test_one_stale_item_rejects_the_batch_and_is_named(office: Office) -> None:
    steps = waiting(office, 3)
    entries = named(*steps)
    entries[1]["envelope_sha256"] = "0" * 64
    refused = send(office, "fay", entries)
    problem = refused.json()
    assert (refused.status_code, problem["reason_code"]) == (409, "envelope_changed")
    assert problem["decision_step_id"] == steps[1].public_id
    assert problem["detail"].startswith(f"{steps[1].public_id} (2 of 3): ")
    assert {
        "pointer": "/steps/1",
        "detail": f"{steps[1].public_id} is refused: envelope_changed",
        "code": "refused",
    } in (problem["errors"])
    untouched(office, *steps)
    with unit_of_work(office.tenant.id):
        receipt = Receipt.objects.get(kind="request.refused")
    assert (receipt.reason_codes, receipt.work_item_id) == (["envelope_changed"], steps[1].work_item_id)


def test_one_that_the_voter_decided_already_rejects_the_batch(office: Office) -> None:
    steps = waiting(office, 2)
    office.vote(steps[1], "fay")
    refused = send(office, "fay", named(*steps))
    assert (refused.json()["reason_code"], refused.json()["decision_step_id"]) == ("already_voted", steps[1].public_id)
    assert office.count(Vote) == 1


def test_one_closed_step_rejects_the_batch(office: Office) -> None:
    steps = waiting(office, 2)
    office.vote(steps[0], "finn", "reject")
    refused = send(office, "fay", named(*steps))
    assert (refused.json()["reason_code"], refused.json()["decision_step_id"]) == ("step_closed", steps[0].public_id)
    assert office.count(Vote) == 1


def test_another_rule_or_action_does_not_belong(office: Office) -> None:
    (large,) = waiting(office, 1)
    office.put_rules(
        {"id": "other", "when": "ctx.action == 'pay' && item.payload.amount > 900", "effect": "require_approval",
         "reason": "HUGE", "approvals": ASKS_TWO},
        *RULES,
    )  # fmt: skip
    other = office.awaiting(1000)[1]
    refused = send(office, "fay", named(large, other))
    problem = refused.json()
    assert (refused.status_code, problem["reason_code"]) == (422, "batch_mixed")
    assert [entry["pointer"] for entry in problem["errors"]] == ["/steps/1"]
    assert other.public_id in problem["detail"]
    untouched(office, large, other)


def test_steps_without_a_key_are_not_grouped(office: Office) -> None:
    steps = waiting(office, 2)
    for step in steps:
        office.set_step(step, batch_key="")
    assert send(office, "fay", named(*steps)).json()["reason_code"] == "batch_mixed"
    assert send(office, "fay", named(steps[0])).status_code == 201


@pytest.mark.parametrize(
    ("more", "level", "cap"), [({}, "low", 3), ({"risk_flags": ["pii"]}, "high", 1), ({"secret": True}, "elevated", 2)]
)
def test_the_riskier_the_fewer(more: dict[str, Any], level: str, cap: int, office: Office, settings: Settings) -> None:
    settings.THREADA_BATCH_CAPS = {"low": 3, "elevated": 2, "high": 1}
    if more.pop("secret", False):
        office.upsert_workflow(data_class="secret")
    steps = waiting(office, cap + 1, **more)
    refused = send(office, "fay", named(*steps))
    problem = refused.json()
    assert (refused.status_code, problem["reason_code"]) == (422, "batch_too_large")
    assert (problem["risk_level"], problem["cap"]) == (level, cap)
    untouched(office, *steps)
    assert send(office, "fay", named(*steps[:cap])).status_code == 201


def test_a_step_of_nobody_and_a_step_twice(office: Office) -> None:
    (step,) = waiting(office, 1)
    twice = send(office, "fay", named(step, step))
    assert (twice.status_code, [e["pointer"] for e in twice.json()["errors"]]) == (422, ["/steps/1/decision_step_id"])
    unknown = [*named(step), {"decision_step_id": "ds_00000000000000000000000000", "envelope_sha256": "0" * 64}]
    refused = send(office, "fay", unknown)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "unknown")
    assert send(office, "fay", []).status_code == 422
    assert send(office, "wim", named(step)).status_code == 403
    untouched(office, step)


def test_the_same_key_gives_the_first_answer(office: Office) -> None:
    steps = waiting(office, 2)
    body = {"decision": "approve", "steps": named(*steps)}
    first = office.api("fay").post(PATH, body, headers={"Idempotency-Key": "k"})
    again = office.api("fay").post(PATH, body, headers={"Idempotency-Key": "k"})
    assert (first.status_code, again.status_code, again["Idempotent-Replayed"]) == (201, 201, "true")
    assert office.count(Vote) == 2


def test_a_batch_of_an_agent_is_advice(office: Office) -> None:
    office.join("robot", kind="agent", roles=("approver", "finance"))
    steps = waiting(office, 2)
    answer = send(office, "robot", named(*steps))
    assert [vote["counted"] for vote in answer.json()["votes"]] == [False, False]
    assert {office.step(step).status for step in steps} == {"pending"}


def test_a_token_cannot_step_up_in_a_batch(office: Office) -> None:
    office.put_rules(
        *[{**rule, **({"approvals": {**ASKS_TWO, "step_up": True}} if "approvals" in rule else {})} for rule in RULES]
    )
    steps = waiting(office, 2)
    refused = send(office, "fay", named(*steps))
    assert (refused.status_code, refused.json()["reason_code"]) == (403, "step_up_required")
    untouched(office, *steps)
