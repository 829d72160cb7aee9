"""Votes count as distinct only between independent people: exact against a naive reading, fast for large groups."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.language.approvals import AllOf, ApprovalRule, Leaf, Node
from tests.examples import examples
from tests.policies import approval_strategies as strategies
from tests.workitems.approvers.test_count_votes import _satisfied, approver, some_votes, vote
from tests.workitems.approvers.test_count_votes_delegates import HUMANS, some_delegations
from threada_site.tenancy.controllers import UNKNOWN, Controllers
from workitems.approvers.candidates import Approver, Candidate
from workitems.approvers.count_votes import Eligibility, Outcome, Vote, count_votes, eligibility
from workitems.approvers.independent_groups import independent_groups, largest_independent

TWO = ApprovalRule(tree=Leaf("role", "finance", 2))
ADA, BEA = uuid.UUID(int=901), uuid.UUID(int=902)


def controlled(number: int, *by: uuid.UUID, roles: tuple[str, ...] = ("finance",)) -> Approver:
    return approver(number, *roles, controlled_by=Controllers(frozenset(by)))


def lone(approver: Approver) -> Candidate:
    return Candidate(approver.id, (approver,))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (controlled(1, uuid.UUID(int=2)), controlled(2)),
        (controlled(1), controlled(2, uuid.UUID(int=1))),
        (controlled(1, ADA), controlled(2, ADA)),
        (controlled(1, ADA, BEA), controlled(2, BEA)),
    ],
    ids=["created by the other", "creator of the other", "both by one person", "a chain"],
)
def test_dependent_people_count_once(first: Approver, second: Approver) -> None:
    result = count_votes(TWO, [vote(first), vote(second)], [first, second])
    assert (result.outcome, len(result.counted), result.missing) == (Outcome.WAITING, 1, 1)
    assert count_votes(TWO, [vote(first)], [first, second]).nobody_can_decide
    third = controlled(3)
    assert (
        count_votes(TWO, [vote(first), vote(second), vote(third)], [first, second, third]).outcome is Outcome.APPROVED
    )


def test_whoever_is_confirmed_counts() -> None:
    first, second = controlled(1, ADA), controlled(2, BEA)
    assert count_votes(TWO, [vote(first), vote(second)], [first, second]).outcome is Outcome.APPROVED


def test_of_dependent_people_the_one_who_helps_counts() -> None:
    both = ApprovalRule(tree=AllOf((Leaf("role", "finance"), Leaf("role", "legal"))))
    first, second = controlled(1, ADA), controlled(2, ADA, roles=("legal",))
    third = controlled(3)
    result = count_votes(both, [vote(first), vote(second), vote(third)], [first, second, third])
    assert (result.outcome, set(result.counted)) == (Outcome.APPROVED, {second.id, third.id})


def test_a_rejection_takes_the_approval_of_a_dependent_person_away() -> None:
    rule = replace(TWO, veto=2)
    first, second, third = controlled(1, ADA), controlled(2, ADA), controlled(3)
    result = count_votes(rule, [vote(first, "reject"), vote(second), vote(third)], [first, second, third])
    assert set(result.counted) == {third.id}
    rejected = count_votes(rule, [vote(first, "reject"), vote(second, "reject")], [first, second, third])
    assert rejected.outcome is Outcome.WAITING


def test_who_depends_on_an_excluded_person_does_not_count() -> None:
    requester, puppet, other = controlled(1, ADA), controlled(2, ADA), controlled(3, BEA)
    one = ApprovalRule(tree=Leaf("role", "finance"))
    people = [requester, puppet, other]
    excluding: dict[str, Any] = {"excluded": {requester.id}, "excluded_controllers": Controllers(frozenset({ADA}))}
    assert eligibility(one, puppet, **excluding) is Eligibility.DEPENDENT_ON_EXCLUDED
    assert eligibility(one, controlled(5, requester.id), {requester.id}) is Eligibility.DEPENDENT_ON_EXCLUDED
    assert eligibility(one, requester, **excluding) is Eligibility.EXCLUDED
    assert count_votes(one, [vote(puppet)], people, **excluding).outcome is Outcome.WAITING
    assert count_votes(one, [vote(other)], people, **excluding).outcome is Outcome.APPROVED


def test_whoever_is_unknown_counts_beside_nobody_and_excludes_everybody() -> None:
    one, other = ApprovalRule(tree=Leaf("role", "finance")), controlled(3, BEA)
    puppet, second = replace(controlled(1), controlled_by=UNKNOWN), controlled(4)
    people = [puppet, other, second]
    assert eligibility(one, puppet, ()) is Eligibility.DEPENDENT_ON_EXCLUDED
    assert count_votes(one, [vote(puppet)], people).outcome is Outcome.WAITING
    assert count_votes(TWO, [vote(puppet), vote(other)], people).outcome is Outcome.WAITING
    assert count_votes(TWO, [vote(puppet), vote(other), vote(second)], people).outcome is Outcome.APPROVED
    assert count_votes(one, [vote(puppet, "reject"), vote(other)], people).outcome is Outcome.APPROVED
    delegate = count_votes(one, [vote(other)], people, stands_for={other.id: {puppet.id}})
    assert delegate.outcome is Outcome.APPROVED
    with pytest.raises(ValueError, match="nobody knows who controls the account"):
        _ = lone(puppet).controllers

    requester = uuid.UUID(int=900)
    assert eligibility(one, other, {requester}, excluded_controllers=UNKNOWN) is Eligibility.DEPENDENT_ON_EXCLUDED
    waiting = count_votes(one, [vote(other), vote(second)], people, excluded={requester}, excluded_controllers=UNKNOWN)
    assert (waiting.outcome, waiting.nobody_can_decide, waiting.voters) == (Outcome.WAITING, True, frozenset())


def test_two_hundred_people_of_one_steward_count_once_and_quickly() -> None:
    crowd = [controlled(number, ADA, uuid.UUID(int=number % 7 + 1000)) for number in range(1, 201)]
    bridge = controlled(300, ADA, BEA)
    others = [controlled(400 + number, BEA) for number in range(200)]
    people = [*crowd, bridge, *others]
    started = time.process_time()
    result = count_votes(replace(TWO, tree=Leaf("role", "finance", 3)), [vote(one) for one in people], people)
    assert time.process_time() - started < 1
    assert (result.outcome, len(result.counted)) == (Outcome.WAITING, 2)


def test_many_connections_never_count_too_many_and_stay_fast() -> None:
    stewards = [uuid.UUID(int=1000 + number) for number in range(16)]
    pairs = list(itertools.combinations(stewards, 2))
    people = [controlled(number, *pair) for number, pair in enumerate(pairs, start=1)]
    started = time.process_time()
    result = count_votes(replace(TWO, tree=Leaf("role", "finance", 9)), [vote(one) for one in people], people)
    assert time.process_time() - started < 5
    assert (result.outcome, len(result.counted) <= 8) == (Outcome.WAITING, True)


controllers = st.frozensets(st.sampled_from([*(one.id for one in HUMANS), ADA, BEA]), max_size=2)
some_controllers = st.dictionaries(st.sampled_from([one.id for one in HUMANS]), controllers, max_size=5)


def _identities(person: Approver, known: dict[uuid.UUID, Approver], stands_for: dict[uuid.UUID, set[uuid.UUID]]) -> Any:
    return [person, *(known[other] for other in stands_for.get(person.id, ()))]


@settings(max_examples=examples(500))
@given(strategies.trees, some_votes, some_controllers, some_delegations)
def test_independent_votes_agree_with_brute_force(
    tree: Node,
    votes: Sequence[Vote],
    controlled_by: dict[uuid.UUID, frozenset[uuid.UUID]],
    stands_for: dict[uuid.UUID, set[uuid.UUID]],
) -> None:
    people = [replace(one, controlled_by=Controllers(controlled_by.get(one.id, frozenset()))) for one in HUMANS]
    known = {one.id: one for one in people}
    approvals = [each for each in votes if each.decision == "approve" and each.voter_id in known]
    voted = [known[who] for who in sorted({each.voter_id for each in approvals})]
    result = count_votes(ApprovalRule(tree=tree), approvals, people, stands_for=stands_for)

    found = False
    for size in range(len(voted) + 1):
        for team in itertools.combinations(voted, size):
            sets = [Candidate(one.id, tuple(_identities(one, known, stands_for))).controllers for one in team]
            if any(not left.isdisjoint(right) for left, right in itertools.combinations(sets, 2)):
                continue
            acting = frozenset(
                replace(one, roles=frozenset().union(*(who.roles for who in _identities(one, known, stands_for))))
                for one in team
            )
            found = found or any(True for _ in _satisfied(tree, acting))
    assert (result.outcome is Outcome.APPROVED) == found


@settings(max_examples=examples(300))
@given(st.lists(controllers, max_size=8))
def test_every_set_is_independent_and_the_largest_is_found(sets: list[frozenset[uuid.UUID]]) -> None:
    people = [lone(controlled(number, *by)) for number, by in enumerate(sets, start=2000)]
    for groups in independent_groups(people, most=256):
        for left, right in itertools.combinations(groups, 2):
            for one, other in itertools.product(left.candidates, right.candidates):
                assert one.controllers.isdisjoint(other.controllers)
    largest = max(
        size
        for size in range(len(people) + 1)
        for team in itertools.combinations(people, size)
        if all(one.controllers.isdisjoint(other.controllers) for one, other in itertools.combinations(team, 2))
    )
    assert largest_independent(people, most=256) == largest
