"""Out of office: a delegate votes in another approver's place, counts once with them, and is excluded with them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.workitems.office import RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.role_grants import withdraw_role
from threada_site.identity.principals import remove_member
from threada_site.identity.roles import define_role
from threada_site.kernel import clock, errors
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import Scope
from workitems import selectors
from workitems.models import Delegation
from workitems.steps.delegations import (
    OutOfOffice,
    confirm_delegation,
    consent_to_delegation,
    delegate,
    end_delegation,
    locked_delegation,
)
from workitems.steps.reachability_sweep import sweep_reachability

DAY = timedelta(days=1)


def let_stand_in(
    office: Office,
    who: str,
    of: str,
    *,
    by: str | None = None,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> Delegation:
    with unit_of_work(office.tenant.id):
        out_of_office = OutOfOffice(
            delegator=office.people[of],
            delegate=office.people[who],
            starts_at=starts_at,
            ends_at=ends_at or clock.now() + DAY,
        )
        return delegate(out_of_office, ctx=office.ctx(by or of))


def bring_into_force(
    office: Office, row: Delegation, by: str, operation: Callable[..., None] = consent_to_delegation
) -> None:
    with unit_of_work(office.tenant.id):
        operation(locked_delegation(row.id, ctx=office.system), ctx=office.ctx(by))


def end(office: Office, row: Delegation, by: str) -> None:
    with unit_of_work(office.tenant.id):
        end_delegation(locked_delegation(row.id, ctx=office.system), ctx=office.ctx(by))


def test_a_delegate_decides_at_the_place_of_who_is_away(office: Office) -> None:
    _, step, _ = office.awaiting()
    with pytest.raises(errors.VoterNotEligible):
        office.vote(step, "vera")
    row = let_stand_in(office, "vera", "fay")
    vote = office.vote(step, "vera")
    assert vote.stands_for == [office.people["fay"].id]
    assert office.bodies("vote.recorded")[-1]["inputs"]["stands_for"] == [office.people["fay"].public_id]
    end(office, row, by="fay")
    office.vote(step, "finn")
    assert office.step(step).status == "approved"
    assert [body["inputs"]["delegation"] for body in office.bodies("delegation.ended")] == [row.public_id]


def test_a_place_is_filled_once(office: Office) -> None:
    _, step, _ = office.awaiting()
    let_stand_in(office, "vera", "fay")
    office.vote(step, "vera")
    with pytest.raises(errors.AlreadyVoted):
        office.vote(step, "fay")
    assert office.step(step).status == "pending"
    office.vote(step, "finn")
    assert office.step(step).status == "approved"


def test_when_who_is_away_has_voted_there_is_no_place_left(office: Office) -> None:
    _, step, _ = office.awaiting()
    let_stand_in(office, "vera", "fay")
    office.vote(step, "fay")
    with pytest.raises(errors.AlreadyVoted):
        office.vote(step, "vera")


def test_a_delegate_of_the_requester_is_excluded(office: Office) -> None:
    _, step, _ = office.awaiting()
    let_stand_in(office, "fay", "rita")
    with pytest.raises(errors.VoterExcluded):
        office.vote(step, "fay")


def test_it_does_not_chain_and_ends_by_itself(office: Office) -> None:
    _, step, _ = office.awaiting()
    let_stand_in(office, "vera", "fay")
    office.join("viola", roles=("approver",))
    let_stand_in(office, "viola", "vera")
    with pytest.raises(errors.VoterNotEligible):
        office.vote(step, "viola")
    with unit_of_work(office.tenant.id):
        hour = timedelta(hours=1)
        Delegation.objects.update(starts_at=clock.now() - 2 * hour, ends_at=clock.now() - hour)
    with pytest.raises(errors.VoterNotEligible):
        office.vote(step, "vera")


def test_a_delegate_makes_that_somebody_can_decide(office: Office) -> None:
    office.put_rules({**RULES[1], "approvals": {"user": "fay"}}, *RULES[2:])
    item, _, _ = office.awaiting()
    let_stand_in(office, "vera", "fay")
    with unit_of_work(office.tenant.id):
        remove_member(office.people["fay"], ctx=office.system)
    sweep_reachability()
    assert office.item(item).nobody_can_decide


@pytest.mark.parametrize(
    ("who", "of", "by", "error"),
    [
        ("vera", "fay", "finn", errors.PermissionDenied),
        ("wim", "fay", "fay", errors.DelegateNotEligible),
        ("fay", "fay", "fay", errors.DelegateNotEligible),
        ("bot", "fay", "fay", errors.DelegateNotEligible),
        ("vera", "bot", "ada", errors.InvalidRequest),
        ("vera", "fay", "bot", errors.PersonRequired),
        ("vera", "fay", "boss", errors.PersonRequired),
        ("ada", "fay", "ada", errors.DelegateNotEligible),
        ("puppet", "fay", "ada", errors.DelegateNotEligible),
    ],
)
def test_delegates_that_are_not_permitted_are_refused(
    office: Office, who: str, of: str, by: str, error: type[Exception]
) -> None:
    office.join("bot", kind="agent", roles=("approver", "finance"))
    office.join("boss", kind="service", roles=("tenant_admin",))
    office.join("puppet", roles=("approver",))
    office.depend("puppet", on="ada")
    with pytest.raises(error):
        let_stand_in(office, who, of, by=by)
    assert office.count(Delegation) == 0


def test_a_proposed_delegation_is_not_in_force_before_the_delegator_consents(office: Office) -> None:
    _, step, _ = office.awaiting()
    row = let_stand_in(office, "vera", "fay", by="ada")
    with pytest.raises(errors.VoterNotEligible):
        office.vote(step, "vera")
    with unit_of_work(office.tenant.id):
        vera = office.ctx("vera")
        assert not selectors.steps_pending_for(vera, selectors.decision_steps(vera)).exists()
    for other in ("vera", "ada", "finn"):
        with pytest.raises(errors.PermissionDenied):
            bring_into_force(office, row, by=other)
    bring_into_force(office, row, by="fay")
    bring_into_force(office, row, by="fay")
    assert office.vote(step, "vera").stands_for == [office.people["fay"].id]
    (receipt,) = office.bodies("delegation.consented")
    assert (receipt["inputs"]["delegation"], receipt["outcome"]) == (row.public_id, {"consented": True})
    assert office.bodies("delegation.created")[-1]["outcome"] == {"consented": False}


def test_a_proposed_delegation_excludes_nobody(office: Office) -> None:
    let_stand_in(office, "fay", "rita", by="ada")
    _, step, _ = office.awaiting()
    office.vote(step, "fay")


def test_only_an_independent_second_person_confirms_in_place_of_the_delegator(office: Office) -> None:
    row = let_stand_in(office, "vera", "fay", by="ada")
    for name in ("bea", "puppet", "mate"):
        office.join(name, roles=("tenant_admin",))
    office.join("boss", kind="service", roles=("tenant_admin",))
    office.depend("puppet", on="ada")
    office.depend("mate", on="vera")
    for other, refusal in (
        ("ada", errors.SecondPersonRequired),
        ("puppet", errors.SecondPersonRequired),
        ("mate", errors.SecondPersonRequired),
        ("boss", errors.PersonRequired),
        ("finn", errors.PermissionDenied),
    ):
        with pytest.raises(refusal):
            bring_into_force(office, row, by=other, operation=confirm_delegation)
    bring_into_force(office, row, by="bea", operation=confirm_delegation)
    _, step, _ = office.awaiting()
    office.vote(step, "vera")
    assert len(office.bodies("delegation.confirmed")) == 1


def test_a_delegate_with_workflow_manage_does_not_confirm(office: Office) -> None:
    office.join("bea", roles=("tenant_admin",))
    row = let_stand_in(office, "bea", "fay", by="ada")
    with pytest.raises(errors.SecondPersonRequired):
        bring_into_force(office, row, by="bea", operation=confirm_delegation)


def test_a_delegate_who_became_dependent_on_the_creator_is_refused_at_the_consent(office: Office) -> None:
    row = let_stand_in(office, "vera", "fay", by="ada")
    office.depend("vera", on="ada")
    with pytest.raises(errors.DelegateNotEligible):
        bring_into_force(office, row, by="fay")


def test_proposals_do_not_block_the_delegator(office: Office) -> None:
    proposed = let_stand_in(office, "vera", "fay", by="ada")
    own = let_stand_in(office, "finn", "fay")
    with pytest.raises(errors.DelegationOverlaps):
        bring_into_force(office, proposed, by="fay")
    end(office, own, by="fay")
    end(office, proposed, by="fay")
    with pytest.raises(errors.DelegationEnded):
        bring_into_force(office, proposed, by="fay")


def test_a_service_ends_no_delegation(office: Office) -> None:
    row = let_stand_in(office, "vera", "fay")
    office.join("boss", kind="service", roles=("tenant_admin",))
    with pytest.raises(errors.PersonRequired):
        end(office, row, by="boss")


def test_a_delegate_has_no_more_than_the_seat_of_the_delegator(office: Office) -> None:
    """A delegator who may not decide has no seat to give, and one who lost the role has none left."""
    with unit_of_work(office.tenant.id):
        define_role("reader", frozenset({Scope.WORKITEMS_READ}), ctx=office.system)
    office.join("rolf", roles=("reader",))
    office.put_rules(
        {**RULES[1], "approvals": {"any": [{"role": "reader"}, {"role": "finance", "count": 2}]}}, RULES[3]
    )
    _, step, _ = office.awaiting()
    let_stand_in(office, "vera", "rolf")
    with pytest.raises(errors.VoterNotEligible):
        office.vote(step, "vera")
    let_stand_in(office, "vera", "fay")
    with unit_of_work(office.tenant.id):
        withdraw_role(office.people["fay"], "finance", ctx=office.system)
    with pytest.raises(errors.VoterNotEligible):
        office.vote(step, "vera")


def test_a_delegate_of_two_fills_one_seat(office: Office) -> None:
    _, step, _ = office.awaiting()
    let_stand_in(office, "vera", "fay")
    let_stand_in(office, "vera", "finn")
    office.vote(step, "vera")
    assert office.step(step).status == "pending"
    for taken in ("fay", "finn"):
        with pytest.raises(errors.AlreadyVoted):
            office.vote(step, taken)
    office.vote(step, "fred")
    assert office.step(step).status == "approved"


@pytest.mark.parametrize("hours", [(0, 0), (5, 4), (-5, -4), (0, 24 * 367)])
def test_invalid_times_are_refused(office: Office, hours: tuple[int, int]) -> None:
    starts_at, ends_at = (clock.now() + timedelta(hours=hour) for hour in hours)
    with pytest.raises(errors.InvalidRequest):
        let_stand_in(office, "vera", "fay", starts_at=starts_at, ends_at=ends_at)


def test_one_delegate_at_a_time(office: Office) -> None:
    now = clock.now()
    row = let_stand_in(office, "vera", "fay", starts_at=now, ends_at=now + DAY)
    with pytest.raises(errors.DelegationOverlaps):
        let_stand_in(office, "finn", "fay", starts_at=now + DAY / 2, ends_at=now + 2 * DAY)
    later = let_stand_in(office, "finn", "fay", starts_at=now + DAY, ends_at=now + 2 * DAY)
    end(office, later, by="finn")
    with pytest.raises(errors.DelegationEnded):
        end(office, later, by="fay")
    with pytest.raises(errors.PermissionDenied):
        end(office, row, by="finn")


def test_api_creates_lists_and_ends_delegations(office: Office) -> None:
    ends_at = rfc3339(clock.now() + DAY)

    def post(by: str, path: str = "/delegations", **body: Any) -> tuple[int, Any]:
        answer = office.api(by).post(path, body)
        return answer.status_code, answer.json()

    status, made = post("fay", delegate="vera", ends_at=ends_at, reason="Holidays")
    assert (status, made["delegator"], made["is_active"]) == (201, office.people["fay"].public_id, True)
    assert office.api("wim").get("/delegations", {"active": "true"}).json()["data"] == [made]
    assert office.api("wim").get(f"/delegations/{made['delegation_id']}").json() == made
    for by, body, expected in (
        ("wim", {"delegate": "vera", "ends_at": ends_at}, (403, "scope_missing")),
        ("fay", {"delegate": "nobody", "ends_at": ends_at}, (422, "invalid_request")),
        ("fay", {"delegate": "vera", "ends_at": "tomorrow"}, (422, "invalid_request")),
        ("fay", {"delegate": "vera"}, (422, "invalid_request")),
        ("fay", {"delegate": "finn", "ends_at": ends_at}, (409, "delegation_overlaps")),
        ("finn", {"delegate": "fay", "delegator": "fred", "ends_at": ends_at}, (403, "permission_denied")),
        ("finn", {"delegate": "wim", "ends_at": ends_at}, (422, "delegate_not_eligible")),
    ):
        status, problem = post(by, **body)  # type: ignore[arg-type]
        assert (status, problem["reason_code"]) == expected
    path = f"/delegations/{made['delegation_id']}/end"
    status, ended = post("vera", path)
    assert (status, ended["is_active"], ended["ended_at"] is not None) == (200, False, True)
    status, problem = post("fay", path)
    assert (status, problem["reason_code"]) == (409, "delegation_ended")
    assert office.api("fay").get("/delegations", {"active": "true"}).json()["data"] == []
    assert office.count(Delegation) == 1


def test_api_consents_to_and_confirms_delegations(office: Office) -> None:
    office.join("bea", roles=("tenant_admin",))
    office.join("boss", kind="service", roles=("tenant_admin",))
    body = {"delegator": "fay", "delegate": "vera", "ends_at": rfc3339(clock.now() + DAY)}
    assert office.api("boss").post("/delegations", body).json()["reason_code"] == "person_required"
    assert office.api("ada").post("/delegations", {**body, "delegate": "ada"}).json()["reason_code"] == (
        "delegate_not_eligible"
    )
    made = office.api("ada").post("/delegations", body).json()
    assert (made["is_active"], made["consented_at"], made["consented_by"]) == (False, None, None)
    assert made["created_by"] == office.people["ada"].public_id
    path = f"/delegations/{made['delegation_id']}"
    for by, operation, reason_code in (
        ("vera", "consent", "permission_denied"),
        ("ada", "confirm", "second_person_required"),
        ("boss", "confirm", "person_required"),
        ("fay", "confirm", "scope_missing"),
    ):
        assert office.api(by).post(f"{path}/{operation}", {}).json()["reason_code"] == reason_code
    assert office.api("wim").get("/delegations", {"active": "true"}).json()["data"] == []
    consented = office.api("fay").post(f"{path}/consent", {}).json()
    assert (consented["is_active"], consented["consented_by"]) == (True, office.people["fay"].public_id)
    other = office.api("ada").post("/delegations", {**body, "delegator": "finn"}).json()
    confirmed = office.api("bea").post(f"/delegations/{other['delegation_id']}/confirm", {}).json()
    assert (confirmed["is_active"], confirmed["consented_by"]) == (True, office.people["bea"].public_id)
