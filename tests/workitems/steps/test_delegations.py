"""Out of office: a delegate votes in another approver's place, counts once with them, and is excluded with them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.workitems.office import RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.principals import remove_member
from threada_site.kernel import clock, errors
from threada_site.kernel.clock import rfc3339
from workitems.models import Delegation
from workitems.steps.delegations import OutOfOffice, delegate, end_delegation, locked_delegation
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
    let_stand_in(office, "fay", "rita", by="ada")
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
    ],
)
def test_delegates_that_are_not_permitted_are_refused(
    office: Office, who: str, of: str, by: str, error: type[Exception]
) -> None:
    office.join("bot", kind="agent", roles=("approver", "finance"))
    with pytest.raises(error):
        let_stand_in(office, who, of, by=by)
    assert office.count(Delegation) == 0


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
