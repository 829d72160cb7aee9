"""Grants that count on a step, by their times."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.workitems.approvers.test_count_votes import approver
from threada_site.tenancy.grant_times import GrantTimes
from workitems.approvers.timely_grants import key_times, late_grants, late_in_words, timely

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
BEFORE, LATER = NOON - timedelta(hours=1), NOON + timedelta(hours=1)
HERE, ELSEWHERE = uuid.UUID(int=7), uuid.UUID(int=8)
PERSON = approver(1, "finance", groups=frozenset({"board"}), scopes=frozenset({"decisions:decide"}))
CONFIRMED: GrantTimes = {
    "member": None,
    "role:finance": None,
    "group:board": None,
    "scope:decisions:decide": None,
}


def counting(times: GrantTimes) -> tuple[set[str], set[str], set[str], str]:
    found = timely(PERSON, times, as_of=NOON, workflow_id=HERE)
    return set(found.roles), set(found.groups), set(found.scopes), found.name


def test_confirmed_grants_and_those_from_before_count() -> None:
    whole = ({"finance"}, {"board"}, {"decisions:decide"}, "p1")
    assert counting(CONFIRMED) == whole
    assert counting(dict.fromkeys(CONFIRMED, BEFORE)) == whole


@pytest.mark.parametrize(
    ("grant", "expected"),
    [
        ("role:finance", (set(), {"board"}, {"decisions:decide"}, "p1")),
        ("group:board", ({"finance"}, set(), {"decisions:decide"}, "p1")),
        ("scope:decisions:decide", ({"finance"}, {"board"}, set(), "p1")),
        ("member", (set(), set(), set(), "")),
    ],
)
def test_later_and_unrecorded_grants_do_not_count(
    grant: str, expected: tuple[set[str], set[str], set[str], str]
) -> None:
    assert counting({**CONFIRMED, grant: LATER}) == expected
    assert counting({**CONFIRMED, grant: NOON}) == expected
    assert counting({key: time for key, time in CONFIRMED.items() if key != grant}) == expected


@pytest.mark.parametrize(
    ("grant", "counts"),
    [
        (f"scope:decisions:decide@{HERE}", True),
        (f"scope:decisions:decide@{ELSEWHERE}", False),
        (f"scope:workflow:manage@{HERE}", True),
    ],
)
def test_scopes_on_the_workflow_count_there(grant: str, counts: bool) -> None:
    found = timely(PERSON, {"member": None, grant: BEFORE}, as_of=NOON, workflow_id=HERE)
    assert bool(found.scopes) is counts


def test_late_grants_are_named_with_their_times() -> None:
    late = late_grants(
        PERSON, {**CONFIRMED, "role:finance": LATER}, ["role:finance", "role:legal"], as_of=NOON, workflow_id=HERE
    )
    assert late == [("role:finance", LATER)]
    said = late_in_words(late, as_of=NOON)
    assert "your role finance began at 2026-01-31T13:00:00" in said
    assert "independent" in said


def test_approver_keys_count_from_the_later_of_grant_and_membership() -> None:
    keys = ["user:p1", "role:finance", "group:board", f"scope:decisions:decide@{HERE}"]
    times: GrantTimes = {
        "member": BEFORE,
        "role:finance": None,
        "group:board": LATER,
        f"scope:workflow:manage@{HERE}": LATER,
    }
    assert key_times(keys, times) == {
        "user:p1": BEFORE,
        "role:finance": BEFORE,
        "group:board": LATER,
        f"scope:decisions:decide@{HERE}": LATER,
    }
    assert key_times(keys, {"role:finance": None}) == {}
