"""Departure of an approver: delegations, claims and assignments end, and open steps are counted again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.departure.end import end_membership
from threada_site.identity.departure.outcome import Departure, DepartureReason
from threada_site.identity.departure.restore import restore_membership
from threada_site.identity.roles import grant_role
from threada_site.kernel import clock, errors
from workitems.items.locks import locked_step
from workitems.models import DecisionStep, Delegation
from workitems.steps.claims import claim_step
from workitems.steps.delegations import OutOfOffice, delegate
from workitems.steps.reassignment import reassign_step


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
