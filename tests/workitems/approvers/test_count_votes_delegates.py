"""Delegates in vote counting: a delegate and the delegator count once."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.language.approvals import AllOf, ApprovalRule, Leaf, Node
from tests.examples import examples
from tests.policies import approval_strategies as strategies
from tests.workitems.approvers.test_count_votes import (
    PEOPLE,
    _satisfied,
    approver,
    counted,
    some_excluded,
    some_votes,
    vote,
)
from threada_site.kernel.context import PrincipalKind
from workitems.approvers.count_votes import (
    Approver,
    Eligibility,
    Outcome,
    Vote,
    count_votes,
    eligibility,
    excluded_transitively,
)

FINANCE, LEGAL = Leaf("role", "finance"), Leaf("role", "legal")
FAY, LEA, DAN = approver(1, "finance"), approver(2, "legal"), approver(3)
BOTH = ApprovalRule(tree=AllOf((FINANCE, LEGAL)))
EVERYBODY = [FAY, LEA, DAN]


def test_delegate_takes_the_place_of_the_absent_person() -> None:
    assert eligibility(BOTH, DAN, ()) is Eligibility.NOT_ELIGIBLE
    assert eligibility(BOTH, DAN, (), delegators=[LEA]) is Eligibility.COUNTS
    result = count_votes(BOTH, [vote(FAY), vote(DAN)], EVERYBODY, stands_for={DAN.id: {LEA.id}})
    assert (result.outcome, counted(result)) == (Outcome.APPROVED, {1: "finance", 3: "legal"})
    assert count_votes(BOTH, [vote(FAY), vote(DAN)], EVERYBODY).outcome is Outcome.WAITING


def test_a_delegate_gains_nothing_by_somebody_who_is_gone() -> None:
    result = count_votes(BOTH, [vote(DAN)], [FAY, DAN], stands_for={DAN.id: {LEA.id}})
    assert (counted(result), result.nobody_can_decide) == ({}, True)


def test_delegate_and_delegator_never_count_both() -> None:
    two = ApprovalRule(tree=Leaf("role", "legal", 2))
    together = count_votes(two, [vote(DAN), vote(LEA)], EVERYBODY, stands_for={DAN.id: {LEA.id}})
    assert (together.outcome, together.missing, together.nobody_can_decide) == (Outcome.WAITING, 1, True)
    own = approver(4, "legal")
    still_one = count_votes(two, [vote(own), vote(LEA)], [own, LEA], stands_for={own.id: {LEA.id}})
    assert (still_one.outcome, still_one.missing) == (Outcome.WAITING, 1)
    assert count_votes(two, [vote(own), vote(LEA)], [own, LEA]).outcome is Outcome.APPROVED


def test_a_delegate_of_two_uses_up_both() -> None:
    ann, bob = approver(5, "legal"), approver(6, "finance")
    stands_for = {DAN.id: {ann.id, bob.id}}
    result = count_votes(BOTH, [vote(DAN)], [ann, bob, DAN], stands_for=stands_for)
    assert (result.missing, result.nobody_can_decide) == (1, True)
    result = count_votes(BOTH, [vote(ann), vote(bob), vote(DAN)], [ann, bob, DAN], stands_for=stands_for)
    assert (result.outcome, counted(result)) == (Outcome.APPROVED, {5: "legal", 6: "finance"})


def test_two_delegates_of_one_person_do_not_count_both() -> None:
    other = approver(4)
    two = ApprovalRule(tree=Leaf("role", "legal", 2))
    stands_for = {DAN.id: {LEA.id}, other.id: {LEA.id}}
    result = count_votes(two, [vote(DAN), vote(other)], [*EVERYBODY, other], stands_for=stands_for)
    assert (result.outcome, result.missing) == (Outcome.WAITING, 1)


def test_one_identity_gives_one_reject_and_no_approval() -> None:
    stands_for = {DAN.id: {LEA.id}}
    two_rejects = ApprovalRule(tree=BOTH.tree, veto=2)
    result = count_votes(two_rejects, [vote(DAN, "reject"), vote(LEA, "reject")], EVERYBODY, stands_for=stands_for)
    assert (result.outcome, result.rejected_by) == (Outcome.WAITING, (LEA.id, DAN.id))
    for first, second in ((DAN, LEA), (LEA, DAN)):
        votes = [vote(FAY), vote(first, "reject"), vote(second)]
        result = count_votes(two_rejects, votes, EVERYBODY, stands_for=stands_for)
        assert (result.outcome, counted(result)) == (Outcome.WAITING, {1: "finance"})


@pytest.mark.parametrize(
    ("excluded", "stands_for", "also_excluded"),
    [
        ({LEA.id}, {DAN.id: {LEA.id}}, {DAN.id}),
        ({DAN.id}, {DAN.id: {LEA.id}}, {LEA.id}),
        ({FAY.id}, {DAN.id: {LEA.id}}, set()),
        ({FAY.id}, {DAN.id: {FAY.id, LEA.id}}, {DAN.id}),
    ],
)
def test_delegates_and_delegators_of_an_excluded_approver_are_excluded(
    excluded: set[uuid.UUID], stands_for: Mapping[uuid.UUID, set[uuid.UUID]], also_excluded: set[uuid.UUID]
) -> None:
    assert excluded_transitively(excluded, stands_for) == excluded | also_excluded
    anybody = ApprovalRule(tree=Leaf("scope", "decide", 3))
    people = [Approver(one.id, one.kind, one.name, scopes=frozenset({"decide"})) for one in EVERYBODY]
    result = count_votes(anybody, [vote(one) for one in people], people, excluded=excluded, stands_for=stands_for)
    assert set(result.counted).isdisjoint(excluded | also_excluded)


def test_the_delegate_of_an_excluded_approver_gets_excluded_as_result() -> None:
    assert eligibility(BOTH, DAN, {LEA.id}, delegators=[LEA]) is Eligibility.EXCLUDED
    assert eligibility(BOTH, FAY, {LEA.id}, delegators=[LEA]) is Eligibility.EXCLUDED


def test_many_delegates_are_counted_quickly() -> None:
    absent = [approver(100 + number, "finance") for number in range(300)]
    present = [approver(500 + number, "finance") for number in range(300)]
    stands_for = {one.id: {other.id} for one, other in zip(present, absent, strict=True)}
    rule = ApprovalRule(tree=Leaf("role", "finance", 5))
    result = count_votes(rule, [vote(one) for one in present[:3]], [*absent, *present], stands_for=stands_for)
    assert (result.missing, result.nobody_can_decide) == (2, False)


HUMANS = [someone for someone in PEOPLE if someone.kind is PrincipalKind.HUMAN]
some_delegations = st.dictionaries(
    st.sampled_from([someone.id for someone in HUMANS]),
    st.sets(st.sampled_from([someone.id for someone in HUMANS]), min_size=1, max_size=2),
    max_size=3,
).map(lambda drawn: {person: others - {person} for person, others in drawn.items()})


def _hands(
    people: frozenset[Approver], stands_for: Mapping[uuid.UUID, set[uuid.UUID]]
) -> Iterator[frozenset[Approver]]:
    """Yield every set of approvers without a shared identity, each with the roles of the delegators."""
    known = {someone.id: someone for someone in HUMANS}
    for size in range(len(people) + 1):
        for team in itertools.combinations(sorted(people, key=lambda one: one.id), size):
            humans = [human for one in team for human in (one.id, *stands_for.get(one.id, ()))]
            if len(set(humans)) < len(humans):
                continue
            yield frozenset(
                Approver(
                    one.id, one.kind, one.name,
                    roles=one.roles.union(*(known[other].roles for other in stands_for.get(one.id, ()))),
                )
                for one in team
            )  # fmt: skip


@settings(max_examples=examples(300))
@given(strategies.trees, some_votes, some_excluded, some_delegations)
def test_delegates_agree_with_brute_force(
    tree: Node, votes: Sequence[Vote], excluded: set[uuid.UUID], stands_for: dict[uuid.UUID, set[uuid.UUID]]
) -> None:
    approvals = [each for each in votes if each.decision == "approve"]
    result = count_votes(ApprovalRule(tree=tree), approvals, PEOPLE, excluded=excluded, stands_for=stands_for)
    out = excluded_transitively(excluded, stands_for)
    voted = {each.voter_id for each in approvals}
    counting = {one.id for one in HUMANS if one.id not in out and one.id in voted}
    teams = _hands(frozenset(one for one in HUMANS if one.id in counting), stands_for)
    assert (result.outcome is Outcome.APPROVED) == any(any(True for _ in _satisfied(tree, team)) for team in teams)


@given(strategies.rules, some_votes, some_excluded, some_delegations, st.sampled_from(HUMANS), st.randoms())
def test_properties_hold_with_delegates(
    rule: ApprovalRule,
    votes: list[Vote],
    excluded: set[uuid.UUID],
    stands_for: dict[uuid.UUID, set[uuid.UUID]],
    voter: Approver,
    random: Any,
) -> None:
    def count(some: list[Vote], people: list[Approver] = PEOPLE) -> Any:
        return count_votes(rule, some, people, excluded=excluded, stands_for=stands_for)

    before = count(votes)
    shuffled, people = list(votes), list(PEOPLE)
    random.shuffle(shuffled)
    random.shuffle(people)
    assert count(shuffled, people) == before
    after = count([*votes, vote(voter)])
    assert after.rejected_by == before.rejected_by
    if before.outcome is not Outcome.WAITING:
        assert after.outcome is before.outcome
    if voter.id in excluded_transitively(excluded, stands_for):
        assert after == before == count([*votes, vote(voter, "reject")])
    humans = [human for one in after.counted for human in (one, *stands_for.get(one, ()))]
    assert len(set(humans)) == len(humans)
