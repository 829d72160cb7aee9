"""Stages and delegates at the ballot box: who may vote when, what the refusal says, and who counts together with whom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.workitems.office import RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, errors
from workitems.models import DecisionStep, Delegation, Notice, Vote, WorkItem

IN_ORDER = {"stages": [{"role": "finance", "count": 2}, {"user": "vera"}], "exclude": ["requester"]}


def ask(office: Office, approvals: dict[str, Any]) -> tuple[WorkItem, DecisionStep]:
    office.put_rules({**RULES[1], "approvals": approvals}, RULES[3])
    return office.awaiting()[:2]


def delegate(office: Office, absent: str, to: str) -> None:
    now = clock.now()
    with unit_of_work(office.tenant.id):
        Delegation.objects.create(
            tenant=office.tenant,
            delegator=office.people[absent],
            delegate=office.people[to],
            starts_at=now - timedelta(hours=1),
            ends_at=now + timedelta(days=1),
            consented_at=now,
        )


def test_a_later_stage_is_asked_when_the_one_before_is_filled(office: Office) -> None:
    item, step = ask(office, IN_ORDER)
    told = office.kinds(item)
    with pytest.raises(errors.StageNotOpen):
        office.vote(step, "vera")
    with pytest.raises(errors.StageNotOpen):
        office.vote(step, "vera", "reject")
    assert (office.count(Vote), office.kinds(item)) == (0, told)
    office.vote(step, "fay")
    assert office.bodies("decision_step.stage_opened") == []
    shown = office.api("ada").get(f"/decision-steps/{step.public_id}").json()
    assert shown["waiting_for"] == [{"role": "finance", "missing": 1}]
    office.vote(step, "finn")
    (opened,) = office.bodies("decision_step.stage_opened")
    assert opened["outcome"] == {"status": "pending", "stage": 2, "stages": 2}
    shown = office.api("ada").get(f"/decision-steps/{step.public_id}").json()
    assert shown["waiting_for"] == [{"user": "vera", "missing": 1}]
    with unit_of_work(office.tenant.id):
        notices = Notice.objects.filter(step=step, kind="assigned").order_by("id")
        assert list(notices.values_list("occurrence", flat=True)) == ["opened", "stages 2"]
    office.vote(step, "vera")
    assert (office.step(step).status, office.item(item).status) == ("approved", "executing")


def test_a_refusal_by_stage_is_typed(office: Office) -> None:
    _, step = ask(office, IN_ORDER)
    body = {"decision": "approve", "envelope_sha256": step.envelope_sha256}
    answer = office.api("vera").post(f"/decision-steps/{step.public_id}/votes", body)
    assert (answer.status_code, answer.json()["reason_code"]) == (409, "stage_not_open")


def test_whoever_was_asked_earlier_may_still_reject(office: Office) -> None:
    _, step = ask(office, IN_ORDER)
    office.vote(step, "fay")
    office.vote(step, "finn")
    office.vote(step, "fred", "reject")
    assert office.step(step).status == "rejected"


@pytest.mark.parametrize(("first", "second"), [("vera", "finn"), ("finn", "vera")])
def test_a_delegate_and_the_delegator_vote_once(office: Office, first: str, second: str) -> None:
    _, step = ask(office, {"role": "finance", "count": 2})
    delegate(office, absent="finn", to="vera")
    office.vote(step, first)
    with pytest.raises(errors.AlreadyVoted):
        office.vote(step, second)
    office.vote(step, "fay")
    assert office.step(step).status == "approved"


def test_a_delegate_of_the_requester_does_not_decide(office: Office) -> None:
    office.join("max", roles=("tenant_admin", "finance"))
    office.put_rules({**RULES[1], "approvals": {"role": "finance", "exclude": ["requester"]}}, RULES[3])
    _, step, _ = office.awaiting(by="max")
    delegate(office, absent="max", to="fay")
    with pytest.raises(errors.VoterExcluded):
        office.vote(step, "fay")
    office.vote(step, "finn")
    assert office.step(step).status == "approved"
