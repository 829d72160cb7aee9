"""Handing a step to somebody says whose turn it is, and gives nobody a right."""

from __future__ import annotations

from typing import Any

import pytest

from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from workitems.items.locks import locked_step
from workitems.models import DecisionStep, Notice
from workitems.steps.claims import claim_step
from workitems.steps.reassignment import reassign_step


def reassign(office: Office, step: DecisionStep, to: str, by: str = "fay", **more: Any) -> None:
    with unit_of_work(office.tenant.id):
        item, locked = locked_step(step.id, ctx=office.system)
        reassign_step(item, locked, office.people[to], ctx=office.ctx(by), **more)


def claim(office: Office, step: DecisionStep, by: str) -> None:
    with unit_of_work(office.tenant.id):
        item, locked = locked_step(step.id, ctx=office.system)
        claim_step(item, locked, ctx=office.ctx(by))


def told(office: Office, step: DecisionStep) -> list[Any]:
    with unit_of_work(office.tenant.id):
        return [row.recipient_ids for row in Notice.objects.filter(step=step, kind="assigned").order_by("id")]


def test_a_step_gets_a_new_assignee(office: Office) -> None:
    item, step, _ = office.awaiting()
    claim(office, step, "fay")
    reassign(office, step, "finn", reason="He knows the vendor.")
    again = office.step(step)
    assert (again.assignee_id, again.claimed_by_id, again.claimed_until) == (office.people["finn"].id, None, None)
    assert office.kinds(item)[-1] == "decision_step.reassigned"
    assert "vendor" not in str(office.bodies("decision_step.reassigned"))
    assert told(office, step) == [None, [office.people["finn"].id]]
    office.vote(step, "fred")
    assert office.step(step).status == "pending"


def test_reassigning_to_the_assignee_changes_nothing(office: Office) -> None:
    item, step, _ = office.awaiting()
    reassign(office, step, "finn")
    before = office.kinds(item)
    reassign(office, step, "finn", by="finn")
    assert (office.kinds(item), len(told(office, step))) == (before, 2)


def test_a_claim_of_the_new_assignee_stays(office: Office) -> None:
    _, step, _ = office.awaiting()
    claim(office, step, "finn")
    reassign(office, step, "finn")
    assert office.step(step).claimed_by_id == office.people["finn"].id


@pytest.mark.parametrize("to", ["vera", "wim", "rita", "fred"])
def test_the_new_assignee_must_be_able_to_decide(office: Office, to: str) -> None:
    item, step, _ = office.awaiting()
    office.vote(step, "fred")
    before = office.kinds(item)
    with pytest.raises(errors.AssigneeNotEligible):
        reassign(office, step, to)
    assert (office.step(step).assignee_id, office.kinds(item)) == (None, before)


def test_who_may_not_decide_may_not_hand_it_on(office: Office) -> None:
    _, step, _ = office.awaiting()
    with pytest.raises(errors.VoterNotEligible):
        reassign(office, step, "finn", by="vera")
    with pytest.raises(errors.PermissionDenied):
        reassign(office, step, "finn", by="wim")
    reassign(office, step, "finn", by="ada")
    assert office.step(step).assignee_id == office.people["finn"].id


@pytest.mark.parametrize("kind", ["service", "agent"])
def test_machines_reassign_nothing(office: Office, kind: str) -> None:
    office.join("robo", kind=kind, roles=("tenant_admin",))
    _, step, _ = office.awaiting()
    with pytest.raises(errors.PersonRequired):
        reassign(office, step, "finn", by="robo")
    answer = office.api("robo").post(f"/decision-steps/{step.public_id}/reassign", {"to": "finn"})
    assert (answer.status_code, answer.json()["reason_code"]) == (403, "person_required")


def test_nobody_reassigns_to_themselves_or_to_people_who_depend_on_them(office: Office) -> None:
    item, step, _ = office.awaiting()
    office.depend("finn", on="ada")
    for by, to in (("fay", "fay"), ("ada", "finn"), ("finn", "finn")):
        with pytest.raises(errors.AssigneeNotEligible):
            reassign(office, step, to, by=by)
    assert office.step(step).assignee_id is None
    reassign(office, step, "fay", by="ada")
    told = office.api("wim").get(f"/work-items/{item.public_id}/explain").json()
    assert "ada assigned the approval to fay." in told["why"]


def test_api_reassigns_a_step(office: Office) -> None:
    _, step, _ = office.awaiting()
    path = f"/decision-steps/{step.public_id}/reassign"
    body = office.api("fay").post(path, {"to": "finn"}).json()
    assert body["assignee"] == office.people["finn"].public_id
    again = office.api("fred").post(path, {"to": office.people["fay"].public_id})
    assert again.json()["assignee"] == office.people["fay"].public_id
    own = office.api("fred").post(path, {"to": "fred"})
    assert (own.status_code, own.json()["reason_code"]) == (422, "assignee_not_eligible")
    for to, status, reason_code in (
        ("nobody", 422, "assignee_not_eligible"),
        ("vera", 422, "assignee_not_eligible"),
        ("", 422, "invalid_request"),
    ):
        answer = office.api("fay").post(path, {"to": to})
        assert (answer.status_code, answer.json()["reason_code"]) == (status, reason_code)
    office.vote(step, "fay", "reject")
    assert office.api("finn").post(path, {"to": "fred"}).json()["reason_code"] == "step_closed"
