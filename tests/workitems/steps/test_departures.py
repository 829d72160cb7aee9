"""Departure of an approver: delegations, claims and assignments end, and open steps are counted again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.jobs import queued_jobs, waiting_jobs
from tests.workitems.office import ASKS_TWO, RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.departure.end import end_membership
from threada_site.identity.departure.outcome import Departure, DepartureReason
from threada_site.identity.departure.restore import restore_membership
from threada_site.identity.grants.role_grants import grant_role
from threada_site.kernel import clock, errors
from workitems.items.locks import locked_step
from workitems.models import DecisionStep, Delegation
from workitems.steps.claims import claim_step
from workitems.steps.delegations import OutOfOffice, delegate
from workitems.steps.reachability_sweep import check_tenant, sweep_reachability
from workitems.steps.reassignment import reassign_step


def checks() -> list[str]:
    return [job.arguments["tenant_id"] for job in waiting_jobs() if job.task == "workitems.check_reachability"]


def jobs(name: str) -> list[dict[str, Any]]:
    return [job for found, job in queued_jobs(telling=True) if found == name]


def depart(office: Office, name: str) -> Departure:
    with unit_of_work(office.tenant.id):
        return end_membership(office.people[name], reason=DepartureReason.DEPROVISIONED, ctx=office.system)


def let_stand_in(office: Office, delegate_name: str, of: str) -> Delegation:
    ends_at = clock.now() + timedelta(days=3)
    out = OutOfOffice(delegator=office.people[of], delegate=office.people[delegate_name], ends_at=ends_at)
    with unit_of_work(office.tenant.id):
        return delegate(out, ctx=office.ctx(of))


def claim(office: Office, step: DecisionStep, by: str) -> None:
    with unit_of_work(office.tenant.id):
        claim_step(*locked_step(step.id, ctx=office.system), ctx=office.ctx(by))


def test_delegations_claims_and_assignments_end(office: Office) -> None:
    _, step, _ = office.awaiting()
    from_fay, to_fay = let_stand_in(office, "vera", "fay"), let_stand_in(office, "fay", "finn")
    claim(office, step, "fay")
    with unit_of_work(office.tenant.id):
        reassign_step(*locked_step(step.id, ctx=office.system), office.people["fay"], ctx=office.ctx("fred"))
    departure = depart(office, "fay")
    assert departure.work == {
        "delegations": (from_fay.public_id, to_fay.public_id),
        "claims": (step.public_id,),
        "assignments": (step.public_id,),
        "permits": (),
    }
    found = office.step(step)
    assert (found.claimed_by_id, found.claimed_until, found.assignee_id) == (None, None, None)
    for kind, count in (("delegation.ended", 2), ("decision_step.released", 1), ("decision_step.unassigned", 1)):
        assert len(office.bodies(kind)) == count
    (removed,) = office.bodies("member.removed")
    assert removed["outcome"]["claims"] == [step.public_id]


def test_a_vote_of_somebody_who_left_no_longer_counts(office: Office) -> None:
    _, step, _ = office.awaiting()
    office.vote(step, "fay")
    depart(office, "fay")
    office.vote(step, "finn")
    assert office.step(step).status == "pending"
    office.vote(step, "fred")
    assert office.step(step).status == "approved"


def test_a_delegate_of_somebody_who_left_does_not_decide(office: Office) -> None:
    _, step, _ = office.awaiting()
    let_stand_in(office, "vera", "fay")
    depart(office, "fay")
    with pytest.raises(errors.VoterNotEligible):
        office.vote(step, "vera")
    with unit_of_work(office.tenant.id):
        restore_membership(office.people["fay"], ctx=office.system)
        grant_role(office.people["fay"], "finance", ctx=office.system)
    with pytest.raises(errors.VoterNotEligible):  # the delegation does not come back
        office.vote(step, "vera")


def test_steps_that_nobody_can_complete_are_escalated_once_and_stewards_are_told(office: Office) -> None:
    asks = {**ASKS_TWO, "escalate_to": {"role": "tenant_admin"}}
    office.put_rules({**RULES[1], "approvals": asks}, *RULES[2:])
    item, step, _ = office.awaiting()
    stuck, other_step = office.awaiting()[:2]
    assert sweep_reachability() == 2
    for name in ("fay", "finn", "fred"):
        depart(office, name)
    check_tenant(office.tenant.id)
    check_tenant(office.tenant.id)
    ids = {step.public_id, other_step.public_id}
    said = office.bodies("decision_step.nobody_can_decide")
    assert {body["inputs"]["decision_step_id"] for body in said} == ids
    assert len(said) == 2
    assert len(office.bodies("decision_step.escalated")) == 2
    assert office.step(step).escalated_to == [{"role": "tenant_admin"}]
    assert office.item(item).nobody_can_decide, "one administrator does not fill two places"
    told = [job for job in jobs("workitems.notify_person") if job["kind"] == "steps_stuck"]
    assert [job["person_id"] for job in told] == [str(office.people["ada"].id)]
    assert "2 open decision steps" in told[0]["what"]
    body = office.api("rita").get(f"/work-items/{stuck.public_id}").json()
    assert body["nobody_can_decide"] is True
    explained = office.api("rita").get(f"/work-items/{stuck.public_id}/explain").json()
    assert "No member" in str(explained) or "Nobody" in str(explained)


def test_an_escalation_that_helps_leaves_the_step_open_for_others(office: Office) -> None:
    office.put_rules({**RULES[1], "approvals": {"user": "fay", "escalate_to": {"role": "tenant_admin"}}}, *RULES[2:])
    item, step, _ = office.awaiting()
    depart(office, "fay")
    check_tenant(office.tenant.id)
    assert not office.item(item).nobody_can_decide
    office.vote(step, "ada")
    assert office.step(step).status == "approved"


def test_the_departure_enqueues_the_check_in_its_own_transaction(office: Office) -> None:
    depart(office, "fay")
    assert checks() == [str(office.tenant.id)]


def test_person_and_stewards_are_told(office: Office) -> None:
    depart(office, "fay")
    told = {job["kind"]: job for job in jobs("workitems.notify_person")}
    assert told["membership_ended"]["person_id"] == str(office.people["fay"].id)
    assert "member_left" not in told, "nothing is left to do"
    depart(office, "finn")
    with unit_of_work(office.tenant.id):
        end_membership(office.people["fred"], reason=DepartureReason.REMOVED, ctx=office.system)
    told = {job["kind"]: job for job in jobs("workitems.notify_person")}
    assert told["member_left"]["what"] == "fred was removed from the tenant."


def test_a_vote_of_a_delegate_for_somebody_who_left_counts_no_longer(office: Office) -> None:
    _, step, _ = office.awaiting()
    let_stand_in(office, "vera", "fay")
    office.vote(step, "vera")
    depart(office, "fay")
    office.vote(step, "finn")
    assert office.step(step).status == "pending"
