from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.language.approvals import REVIEW_DEFAULT, AllOf, AnyOf, ApprovalRule, Leaf, Node
from tests.examples import examples
from tests.policies import approval_strategies as strategies
from threada_site.kernel.context import PrincipalKind
from workitems.approvers.count_votes import (
    Approver,
    Eligibility,
    Need,
    Outcome,
    Vote,
    VoteResult,
    count_votes,
    eligibility,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
FINANCE, LEGAL = Leaf("role", "finance"), Leaf("role", "legal")


def approver(number: int, *roles: str, kind: PrincipalKind = PrincipalKind.HUMAN, **more: Any) -> Approver:
    return Approver(id=uuid.UUID(int=number), kind=kind, name=f"p{number}", roles=frozenset(roles), **more)


def vote(voter: Approver, decision: Literal["approve", "reject"] = "approve") -> Vote:
    return Vote(voter.id, voter.kind, decision, NOON)


def counted(result: VoteResult) -> dict[int, str]:
    return {voter_id.int: leaf.name for voter_id, leaf in result.counted.items()}


ANN, BOB, CAT, DAN = approver(1, "finance", "legal"), approver(2, "legal"), approver(3, "finance"), approver(4)
BOTH = ApprovalRule(tree=AllOf((FINANCE, LEGAL)))
TWO_OF_FINANCE = ApprovalRule(tree=Leaf("role", "finance", 2))


def test_one_of_two_votes_waits_for_one_more() -> None:
    result = count_votes(TWO_OF_FINANCE, [vote(ANN)], [ANN, CAT])
    assert result.outcome is Outcome.WAITING
    assert result.waiting_for == (Need(Leaf("role", "finance", 2), 1),)
    assert counted(result) == {1: "finance"}
    assert not result.nobody_can_decide


def test_two_of_two_votes_approve() -> None:
    result = count_votes(TWO_OF_FINANCE, [vote(ANN), vote(CAT)], [ANN, CAT])
    assert (result.outcome, result.waiting_for, counted(result)) == (
        Outcome.APPROVED,
        (),
        {1: "finance", 3: "finance"},
    )


def test_one_person_counts_once_where_it_helps_most() -> None:
    alone = count_votes(BOTH, [vote(ANN)], [ANN, BOB, CAT])
    assert alone.outcome is Outcome.WAITING
    assert counted(count_votes(BOTH, [vote(ANN), vote(BOB)], [ANN, BOB, CAT])) == {1: "finance", 2: "legal"}
    assert counted(count_votes(BOTH, [vote(ANN), vote(CAT)], [ANN, BOB, CAT])) == {1: "legal", 3: "finance"}


def test_what_is_waited_for_is_what_the_others_can_give() -> None:
    assert count_votes(BOTH, [vote(ANN)], [ANN, BOB]).waiting_for == (Need(LEGAL, 1),)
    assert count_votes(BOTH, [vote(ANN)], [ANN, CAT]).waiting_for == (Need(FINANCE, 1),)


def test_the_alternative_that_can_be_reached_is_waited_for_even_if_another_asks_less() -> None:
    rule = ApprovalRule(tree=AnyOf((Leaf("group", "board"), Leaf("role", "finance", 2))))
    assert count_votes(rule, [], [ANN, CAT]).waiting_for == (Need(Leaf("role", "finance", 2), 2),)
    assert count_votes(rule, [vote(ANN), vote(CAT)], [ANN, CAT]).outcome is Outcome.APPROVED


def test_nobody_can_decide_is_reported() -> None:
    for people in ([], [ANN], [ANN, BOB, DAN]):
        result = count_votes(TWO_OF_FINANCE, [], people)
        assert result.outcome is Outcome.WAITING
        assert result.nobody_can_decide
        assert result.waiting_for == (Need(Leaf("role", "finance", 2), 2),)
    vetoed = ApprovalRule(tree=Leaf("role", "finance", 2), veto=2)
    rejected_by_one = count_votes(vetoed, [vote(ANN, "reject")], [ANN, CAT])
    assert (rejected_by_one.outcome, rejected_by_one.nobody_can_decide) == (Outcome.WAITING, True)


def test_a_decided_step_waits_for_nobody() -> None:
    result = count_votes(TWO_OF_FINANCE, [vote(ANN, "reject")], [ANN])
    assert (result.outcome, result.waiting_for, result.nobody_can_decide) == (Outcome.REJECTED, (), False)
    assert result.rejected_by == (ANN.id,)


def test_rejects_end_a_step_at_the_veto_and_only_those_that_count() -> None:
    two = ApprovalRule(tree=Leaf("role", "finance"), veto=2)
    assert count_votes(two, [vote(ANN, "reject")], [ANN, CAT]).outcome is Outcome.WAITING
    assert count_votes(two, [vote(ANN, "reject"), vote(CAT)], [ANN, CAT]).outcome is Outcome.APPROVED
    assert count_votes(two, [vote(ANN, "reject"), vote(CAT, "reject")], [ANN, CAT]).outcome is Outcome.REJECTED
    assert (
        count_votes(TWO_OF_FINANCE, [vote(BOB, "reject"), vote(DAN, "reject")], [ANN, BOB, CAT, DAN]).rejected_by == ()
    )


def test_reject_wins_over_approval_of_the_same_person() -> None:
    assert count_votes(TWO_OF_FINANCE, [vote(ANN, "reject"), vote(ANN)], [ANN, CAT]).outcome is Outcome.REJECTED
    assert counted(count_votes(TWO_OF_FINANCE, [vote(ANN), vote(ANN)], [ANN, CAT])) == {1: "finance"}


def test_only_humans_count() -> None:
    agent = approver(5, "finance", kind=PrincipalKind.AGENT)
    service = approver(6, "finance", kind=PrincipalKind.SERVICE)
    result = count_votes(TWO_OF_FINANCE, [vote(agent), vote(service), vote(ANN)], [agent, service, ANN, CAT])
    assert counted(result) == {1: "finance"}
    assert count_votes(TWO_OF_FINANCE, [vote(agent, "reject")], [agent, ANN, CAT]).outcome is Outcome.WAITING
    voted_as_agent = Vote(ANN.id, PrincipalKind.AGENT, "approve", NOON)
    assert counted(count_votes(TWO_OF_FINANCE, [voted_as_agent], [ANN, CAT])) == {}


def test_a_vote_of_somebody_unknown_does_not_count() -> None:
    assert counted(count_votes(TWO_OF_FINANCE, [vote(ANN)], [CAT])) == {}


@pytest.mark.parametrize(
    ("leaf", "eligible"),
    [
        (Leaf("role", "finance"), True),
        (Leaf("role", "board"), False),
        (Leaf("group", "board"), True),
        (Leaf("group", "finance"), False),
        (Leaf("user", "p7"), True),
        (Leaf("user", "finance"), False),
        (Leaf("scope", "decisions:decide"), True),
        (Leaf("scope", "workitems:read"), False),
    ],
)
def test_each_kind_of_leaf_asks_for_its_own_thing(leaf: Leaf, eligible: bool) -> None:
    someone = approver(7, "finance", groups=frozenset({"board"}), scopes=frozenset({"decisions:decide"}))
    expected = Eligibility.COUNTS if eligible else Eligibility.NOT_ELIGIBLE
    assert eligibility(ApprovalRule(tree=AnyOf((AllOf((leaf,)),))), someone, ()) is expected


def test_excluded_and_not_eligible_are_different_results() -> None:
    assert eligibility(BOTH, ANN, {ANN.id}) is Eligibility.EXCLUDED
    assert eligibility(BOTH, DAN, {DAN.id}) is Eligibility.EXCLUDED
    assert eligibility(BOTH, DAN, ()) is Eligibility.NOT_ELIGIBLE
    agent = approver(5, "finance", kind=PrincipalKind.AGENT)
    assert eligibility(BOTH, agent, {agent.id}) is Eligibility.NOT_ELIGIBLE


def test_a_review_is_decided_by_anybody_with_the_scope_but_the_requester() -> None:
    may_decide = frozenset({"decisions:decide"})
    requester, reviewer = approver(1, scopes=may_decide), approver(2, scopes=may_decide)
    people = [requester, reviewer, DAN]
    excluded = {requester.id}
    assert (
        count_votes(REVIEW_DEFAULT, [vote(requester), vote(DAN)], people, excluded=excluded).outcome is Outcome.WAITING
    )
    assert count_votes(REVIEW_DEFAULT, [vote(reviewer)], people, excluded=excluded).outcome is Outcome.APPROVED


def test_ten_thousand_approvers_are_counted_within_two_seconds() -> None:
    crowd = [approver(number, "finance" if number % 2 else "legal") for number in range(1, 10_001)]
    rule = ApprovalRule(tree=AllOf((Leaf("role", "finance", 100), Leaf("role", "legal", 100), Leaf("role", "nobody"))))
    started = time.process_time()
    result = count_votes(rule, [vote(voter) for voter in crowd[:50]], crowd)
    assert time.process_time() - started < 2
    assert result.nobody_can_decide
    assert result.waiting_for == (
        Need(Leaf("role", "finance", 100), 75),
        Need(Leaf("role", "legal", 100), 75),
        Need(Leaf("role", "nobody"), 1),
    )


# Properties

PEOPLE = [
    approver(number, *roles, kind=kind)
    for number, (roles, kind) in enumerate(
        [
            (("finance",), PrincipalKind.HUMAN),
            (("finance", "legal"), PrincipalKind.HUMAN),
            (("legal", "risk"), PrincipalKind.HUMAN),
            (("finance", "legal", "risk"), PrincipalKind.HUMAN),
            ((), PrincipalKind.HUMAN),
            (("finance", "legal", "risk"), PrincipalKind.AGENT),
            (("finance", "legal", "risk"), PrincipalKind.SERVICE),
        ],
        start=1,
    )
]
some_people = st.lists(st.sampled_from(PEOPLE), unique=True)
some_votes = st.lists(
    st.builds(vote, st.sampled_from(PEOPLE), st.sampled_from(("approve", "approve", "approve", "reject"))), max_size=8
)
some_excluded = st.sets(st.sampled_from([someone.id for someone in PEOPLE]), max_size=2)


def _satisfied(node: Node, people: frozenset[Approver]) -> Iterable[frozenset[Approver]]:
    """Every set of people that satisfies `node` exactly, by trying all."""
    if isinstance(node, Leaf):
        able = [someone for someone in people if node.name in someone.roles]
        return {frozenset(team) for team in itertools.combinations(able, node.count)}
    if isinstance(node, AnyOf):
        return {team for part in node.of for team in _satisfied(part, people)}
    teams: set[frozenset[Approver]] = {frozenset()}
    for part in node.of:
        teams = {team | more for team in teams for more in _satisfied(part, people - team)}
    return teams


@settings(max_examples=examples(500))
@given(strategies.trees, some_votes, some_people, some_excluded)
def test_the_matching_agrees_with_brute_force(
    tree: Node, votes: Sequence[Vote], people: list[Approver], excluded: set[uuid.UUID]
) -> None:
    result = count_votes(ApprovalRule(tree=tree, veto=len(PEOPLE) + 1), votes, people, excluded=excluded)
    humans = {someone for someone in people if someone.kind is PrincipalKind.HUMAN and someone.id not in excluded}
    rejecting = {each.voter_id for each in votes if each.decision == "reject"}
    approving = {each.voter_id for each in votes} - rejecting
    approvers = frozenset(someone for someone in humans if someone.id in approving)
    available = frozenset(someone for someone in humans if someone.id not in rejecting)

    assert (result.outcome is Outcome.APPROVED) == any(True for _ in _satisfied(tree, approvers))
    reachable = [len(team - approvers) for team in _satisfied(tree, available)]
    assert result.nobody_can_decide == (result.outcome is Outcome.WAITING and not reachable)
    if reachable:
        assert sum(need.missing for need in result.waiting_for) == result.missing == min(reachable)
    assert set(result.counted) <= {someone.id for someone in approvers}


@given(strategies.rules, some_votes, some_people, some_excluded, st.randoms())
def test_the_order_of_votes_and_people_makes_no_difference(
    rule: ApprovalRule, votes: list[Vote], people: list[Approver], excluded: set[uuid.UUID], random: Any
) -> None:
    result = count_votes(rule, votes, people, excluded=excluded)
    random.shuffle(votes)
    random.shuffle(people)
    assert count_votes(rule, votes, people, excluded=excluded) == result


@given(strategies.rules, some_votes, some_excluded, st.sampled_from(PEOPLE))
def test_another_approval_never_takes_anything_away(
    rule: ApprovalRule, votes: list[Vote], excluded: set[uuid.UUID], voter: Approver
) -> None:
    before = count_votes(rule, votes, PEOPLE, excluded=excluded)
    late = Vote(voter.id, voter.kind, "approve", NOON + timedelta(hours=1))
    after = count_votes(rule, [*votes, late], PEOPLE, excluded=excluded)
    assert after.rejected_by == before.rejected_by
    if before.outcome is not Outcome.WAITING:
        assert after.outcome is before.outcome
    assert after.missing <= before.missing
    assert all(now >= then for now, then in zip(after.opened, before.opened, strict=True))


@given(strategies.rules, some_votes, some_excluded, st.sampled_from(("approve", "reject")))
def test_excluded_people_agents_and_services_never_change_the_result(
    rule: ApprovalRule, votes: list[Vote], excluded: set[uuid.UUID], decision: Literal["approve", "reject"]
) -> None:
    counting = [each for each in votes if each.kind is PrincipalKind.HUMAN and each.voter_id not in excluded]
    result = count_votes(rule, counting, PEOPLE, excluded=excluded)
    assert count_votes(rule, votes, PEOPLE, excluded=excluded) == result
    for someone in PEOPLE:
        if someone.id in excluded or someone.kind is not PrincipalKind.HUMAN:
            assert count_votes(rule, [*counting, vote(someone, decision)], PEOPLE, excluded=excluded) == result
    without = [someone for someone in PEOPLE if someone.id not in excluded]
    assert count_votes(rule, counting, without, excluded=excluded) == result


@given(strategies.rules, some_votes, some_excluded)
def test_every_counted_approver_is_eligible(rule: ApprovalRule, votes: list[Vote], excluded: set[uuid.UUID]) -> None:
    result = count_votes(rule, votes, PEOPLE, excluded=excluded)
    for someone in PEOPLE:
        if someone.id in result.counted or someone.id in result.rejected_by:
            assert eligibility(rule, someone, excluded) is Eligibility.COUNTS
