"""Approving with changes: a new envelope, decided again, and nobody's vote carried over."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integrations.models import Execution
from tests.console.sign_in import sign_in
from tests.jobs import queued_jobs, run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.api.test_items import fits
from tests.workitems.office import RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from workitems.api.resources.steps import STEP_AMENDED
from workitems.executions.amend_input import Amended, Amendment, amend_input
from workitems.items.locks import locked_step
from workitems.models import DecisionStep, Vote, WorkItem

pytestmark = pytest.mark.django_db

TAKES_INPUT = {
    "pay": {
        "method": "POST",
        "path": "/payments",
        "body": {"amount": "${item.payload.amount}", "note": "${input.note}"},
        "resolves": True,
        "input_schema": {"type": "object", "required": ["note"], "properties": {"note": {"type": "string"}}},
    }
}


def change(office: Office, step: DecisionStep, by: str, **what: Any) -> Amended:
    with unit_of_work(office.tenant.id):
        item, locked = locked_step(step.id, ctx=office.system)
        return amend_input(
            item, locked, Amendment(**{"envelope_sha256": step.envelope_sha256, **what}), ctx=office.ctx(by)
        )


def body_of(step: DecisionStep, office: Office) -> Any:
    with unit_of_work(office.tenant.id):
        envelope = DecisionStep.objects.select_related("envelope").get(id=step.id).envelope
    content = json.loads(bytes(envelope.body))
    return content["request"] and content["request"]["body"]


def with_input(office: Office, bank: Receiver, amount: int = 500) -> tuple[WorkItem, DecisionStep, Execution]:
    office.put_bank(base_url=bank.url, actions=TAKES_INPUT)
    item = office.decided(amount)
    started = office.execute(item, input={"note": "first"})
    assert started.step is not None
    return item, started.step, started.execution


def test_a_changed_input_is_asked_again_and_sent_as_approved(office: Office, bank: Receiver) -> None:
    item, old, execution = with_input(office, bank)
    office.vote(old, "fay")
    told = len(office.kinds(item))
    changed = change(office, old, "finn", input={"note": "second"})
    new = changed.step
    assert [entry.as_json() for entry in changed.difference.changes if entry.pointer.startswith("/request")] == [
        {"pointer": "/request/body/note", "from": "first", "to": "second"}
    ]
    assert office.step(old).status == "superseded"
    assert (new.status, new.execution_id) == ("pending", execution.id)
    assert new.envelope_sha256 != old.envelope_sha256
    assert (body_of(old, office)["note"], body_of(new, office)["note"]) == ("first", "second")
    assert (office.item(item).status, office.execution(execution).status) == ("awaiting_approval", "awaiting_approval")
    assert office.kinds(item)[told:] == [
        "decision_step.superseded",
        "execution.input_edited",
        "policy.decided",
        "decision_step.opened",
        "decision_step.changed",
    ]
    (receipt,) = office.bodies("decision_step.changed")
    assert receipt["inputs"] == {
        "decision_step_id": old.public_id,
        "envelope_sha256": old.envelope_sha256,
        "changed": ["input"],
        "places": ["/input_sha256", "/request/body/note"],
    }
    assert receipt["outcome"]["envelope_sha256"] == new.envelope_sha256
    assert "second" not in json.dumps([receipt, *office.bodies("execution.input_edited")])
    with pytest.raises(errors.EnvelopeChanged):
        office.vote(old, "fred")
    with pytest.raises(errors.EnvelopeChanged):
        office.vote(new, "fred", envelope_sha256=old.envelope_sha256)
    with pytest.raises(errors.VoterExcluded):
        office.vote(new, "finn")
    office.vote(new, "fay")
    assert office.step(new).status == "pending"
    office.vote(new, "fred")
    run_jobs()
    (call,) = bank.requests()
    assert call["body"] == '{"amount":500,"note":"second"}'
    assert office.item(item).status == "resolved"


def test_a_changed_payload_is_decided_at_intake_and_for_the_action(office: Office, bank: Receiver) -> None:
    item, old, execution = office.awaiting()
    office.vote(old, "fay")
    told = len(office.kinds(item))
    new = change(office, old, "fay", payload={"amount": 400}).step
    shown = office.item(item)
    assert (shown.status, shown.version, shown.payload) == ("awaiting_approval", 2, {"amount": 400})
    assert shown.edited_by_id == office.people["fay"].id
    assert office.execution(execution).status == "awaiting_approval"
    assert office.kinds(item)[told:] == [
        "decision_step.superseded",
        "work_item.edited",
        "policy.decided",
        "policy.decided",
        "decision_step.opened",
        "decision_step.changed",
    ]
    for name in ("finn", "fred"):
        office.vote(new, name)
    run_jobs()
    assert [call["body"] for call in bank.requests()] == ['{"amount":400}']


def test_what_would_need_no_approval_now_is_asked_all_the_same(office: Office, bank: Receiver) -> None:
    """Otherwise an approver could send what nobody approved."""
    _, old, execution = office.awaiting()
    jobs = len(queued_jobs())
    new = change(office, old, "fay", payload={"amount": 50}).step
    assert (new.status, new.rule) == ("pending", office.step(old).rule)
    assert (office.execution(execution).status, len(queued_jobs())) == ("awaiting_approval", jobs)
    run_jobs()
    assert bank.requests() == []
    for name in ("finn", "fred"):
        office.vote(new, name)
    run_jobs()
    assert [call["body"] for call in bank.requests()] == ['{"amount":50}']


def test_what_asks_for_more_people_now_gets_more(office: Office) -> None:
    huge = {**RULES[1], "id": "huge", "when": "ctx.action == 'pay' && item.payload.amount > 1000", "reason": "HUGE"}
    office.put_rules({**huge, "approvals": {"all": [{"role": "finance", "count": 3}]}}, *RULES)
    for name in ("flo", "felix"):
        office.join(name, roles=("approver", "finance"))
    _, old, _ = office.awaiting()
    new = change(office, old, "fay", payload={"amount": 5000}).step
    assert new.rule["count"] == 3
    assert new.reason_codes == ["HUGE", "LARGE"]
    again = change(office, new, "finn", payload={"amount": 500}).step
    assert again.rule["count"] == 3


@pytest.mark.parametrize("what", [{"payload": {"amount": 400}}, {"input": {"note": "second"}}])
@pytest.mark.parametrize("rule", [{}, {"exclude": ["requester"]}, {"exclude": ["policy_author"]}])
def test_who_edited_is_excluded(office: Office, bank: Receiver, what: Any, rule: Any) -> None:
    office.put_rules({**RULES[1], "approvals": {"role": "finance", "count": 2, **rule}}, *RULES[2:])
    _, old, _ = with_input(office, bank)
    new = change(office, old, "fay", **what).step
    assert office.people["fay"].id in new.excluded_ids
    with pytest.raises(errors.VoterExcluded):
        office.vote(new, "fay")
    with pytest.raises(errors.VoterExcluded):
        change(office, new, "fay", payload={"amount": 300})
    office.vote(new, "finn")
    office.vote(new, "fred")
    assert office.step(new).status == "approved"


def test_a_review_and_a_requested_approval_stay_what_they_are(office: Office) -> None:
    item = office.decided(5, confidence=0.5)
    review = office.pending_step(item)
    new = change(office, review, "vera", payload={"amount": 6}).step
    assert (new.kind, office.item(item).status) == ("review", "in_review")
    with pytest.raises(errors.VoterExcluded):
        office.vote(new, "vera")
    office.vote(new, "fay")
    assert office.item(item).status == "ready"
    office.execute(item, integration="desk", action="request_approval")
    run_jobs()
    asked = office.pending_step(item)
    new = change(office, asked, "fay", payload={"amount": 7}).step
    assert (new.kind, new.question, office.item(item).status) == ("approval", "Go ahead?", "awaiting_approval")
    assert office.people["rita"].id in new.excluded_ids
    with pytest.raises(errors.InvalidRequest):
        change(office, new, "vera", input={"to": "me"})
    with pytest.raises(errors.VoterExcluded):
        office.vote(new, "fay")
    office.vote(new, "vera")
    assert office.item(item).status == "ready"


def test_a_payload_that_has_to_be_reviewed_first_takes_the_action_back(office: Office) -> None:
    odd = {"id": "odd", "when": "item.payload.amount == 401", "effect": "review", "reason": "ODD"}
    office.put_rules(odd, *RULES)
    item, old, execution = office.awaiting()
    new = change(office, old, "fay", payload={"amount": 401}).step
    assert (new.kind, new.execution_id) == ("review", None)
    assert (office.item(item).status, office.execution(execution).status) == ("in_review", "cancelled")


def everything(office: Office) -> Any:
    with unit_of_work(office.tenant.id):
        return [list(model.objects.order_by("id").values()) for model in (WorkItem, DecisionStep, Execution, Vote)]


@pytest.mark.parametrize(
    ("by", "what", "code"),
    [
        ("fay", {"payload": {"amount": 666}}, "policy_denied"),
        ("fay", {"payload": {"amount": "much"}}, "payload_schema_violation"),
        ("fay", {"input": {"note": 5}}, "invalid_request"),
        ("fay", {"input": {"note": "first"}, "payload": {"amount": 500.0}}, "invalid_request"),
        ("fay", {}, "invalid_request"),
        ("fay", {"payload": {"amount": 400}, "envelope_sha256": "0" * 64}, "envelope_changed"),
        ("vera", {"payload": {"amount": 400}}, "voter_not_eligible"),
        ("rita", {"payload": {"amount": 400}}, "permission_denied"),
        ("wim", {"payload": {"amount": 400}}, "permission_denied"),
        ("robo", {"payload": {"amount": 400}}, "voter_not_eligible"),
    ],
)
def test_what_is_refused_changes_nothing(office: Office, bank: Receiver, by: str, what: Any, code: str) -> None:
    office.join("robo", kind="agent", roles=("approver", "finance"))
    _, step, _ = with_input(office, bank)
    office.vote(step, "finn")
    before = everything(office)
    answer = office.api(by).post(
        f"/decision-steps/{step.public_id}/changes", {"envelope_sha256": step.envelope_sha256, **what}
    )
    expected = {"permission_denied": {"permission_denied", "scope_missing"}}.get(code, {code})
    assert answer.json()["reason_code"] in expected
    assert everything(office) == before
    (refused,) = office.bodies("request.refused")
    assert refused["outcome"]["reason_code"] in expected


@pytest.mark.parametrize("what", [{"payload": {"amount": 400}}, {"input": {"note": "second"}}])
def test_a_change_about_which_too_few_could_decide_is_refused(office: Office, bank: Receiver, what: Any) -> None:
    """The editor is excluded afterwards: of three people two are left, and the rule asks for three."""
    office.put_rules({**RULES[1], "approvals": {"role": "finance", "count": 3}}, *RULES[2:])
    _, step, _ = with_input(office, bank)
    office.vote(step, "finn")
    before = everything(office)
    answer = office.api("fay").post(
        f"/decision-steps/{step.public_id}/changes", {"envelope_sha256": step.envelope_sha256, **what}
    )
    assert (answer.status_code, answer.json()["reason_code"]) == (409, "nobody_can_decide")
    assert everything(office) == before
    page = (
        sign_in(office.people["fay"])
        .get(f"/console/workitems/decisionstep/{step.public_id}/change-input/")
        .content.decode()
    )
    assert "You cannot change this request" in page


def test_the_form_names_who_can_decide_afterwards(office: Office, bank: Receiver) -> None:
    item, step, _ = with_input(office, bank)
    browser = sign_in(office.people["fay"])
    url = f"/console/workitems/decisionstep/{step.public_id}/change-input/"
    page = browser.get(url).content.decode()
    assert "Afterwards these people can decide: finn, fred. You cannot" in page
    sent = {"envelope_sha256": step.envelope_sha256, "input": '{"note": "second"}', "payload": '{"amount": 500}'}
    answer = browser.post(url, sent, follow=True).content.decode()
    assert "Other people decide about it now." in answer
    assert "You may vote on it." not in answer
    assert office.people["fay"].id in office.pending_step(item).excluded_ids


def test_a_closed_step_is_not_changed(office: Office) -> None:
    _, step, _ = office.awaiting()
    office.vote(step, "fay", "reject")
    with pytest.raises(errors.StepClosed):
        change(office, step, "finn", payload={"amount": 400})


def test_api_amends_the_input(office: Office, bank: Receiver) -> None:
    _, step, _ = with_input(office, bank)
    body = {"envelope_sha256": step.envelope_sha256, "input": {"note": "second"}}
    path = f"/decision-steps/{step.public_id}/changes"
    answer = office.api("fay").post(path, body, headers={"Idempotency-Key": "one"})
    assert answer.status_code == 201
    fits(STEP_AMENDED, answer.json())
    assert answer.json()["superseded_decision_step_id"] == step.public_id
    assert answer.json()["decision_step"]["envelope"]["request"]["body"]["note"] == "second"
    again = office.api("fay").post(path, body, headers={"Idempotency-Key": "one"})
    assert again.json() == answer.json()
    assert office.count(DecisionStep) == 2
    late = office.api("finn").post(path, body).json()
    assert (late["reason_code"], late["envelope_sha256"]) == (
        "envelope_changed",
        answer.json()["decision_step"]["envelope_sha256"],
    )


def test_console_form_amends_the_input(office: Office, bank: Receiver) -> None:
    item, step, _ = with_input(office, bank)
    browser = sign_in(office.people["fay"])
    url = f"/console/workitems/decisionstep/{step.public_id}/change-input/"
    page = browser.get(url).content.decode()
    assert step.envelope_sha256 in page
    assert "&quot;note&quot;: &quot;first&quot;" in page
    sent = {"envelope_sha256": step.envelope_sha256, "input": '{"note": "first"}', "payload": '{"amount": 500}'}
    for broken, said in (
        ({"input": "{"}, "(invalid_request)"),
        ({}, "This changes nothing."),
        ({"payload": '{"amount": 666}'}, "CURSED (policy rules, rule cursed)"),
        ({"envelope_sha256": "0" * 64, "payload": '{"amount": 7}'}, "(envelope_changed)"),
    ):
        answer = browser.post(url, {**sent, **broken})
        assert (answer.status_code, said in answer.content.decode()) == (422, True), answer.content.decode()
    assert office.step(step).status == "pending"
    answer = browser.post(url, {**sent, "input": '{"note": "second"}'})
    new = office.pending_step(item)
    assert (answer.status_code, answer["Location"]) == (
        302,
        f"/console/workitems/decisionstep/{new.public_id}/",
    )
    assert "second" in browser.get(answer["Location"]).content.decode()
    assert [body["actor"]["entry_point"] for body in office.bodies("decision_step.changed")] == ["console"]
    assert len(office.bodies("request.refused")) == 4
