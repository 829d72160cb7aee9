"""Stages in vote counting: which stages are open, and that a human counts once over all stages."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given, settings

from policies.language.approvals import AllOf, AnyOf, ApprovalRule, InOrder, Leaf, merge, opened_part
from tests.examples import examples
from tests.policies import approval_strategies as strategies
from tests.workitems.approvers.test_count_votes import (
    NOON,
    PEOPLE,
    _satisfied,
    approver,
    counted,
    some_excluded,
    some_votes,
    vote,
)
from threada_site.kernel.context import PrincipalKind
from workitems.approvers.count_votes import Eligibility, Need, Outcome, Vote, count_votes, eligibility

FINANCE, LEGAL, CFO = Leaf("role", "finance"), Leaf("role", "legal"), Leaf("role", "cfo")
FAY, FINN = approver(1, "finance"), approver(2, "finance")
LEA, CHLOE, BOTH = approver(3, "legal"), approver(4, "cfo"), approver(5, "finance", "cfo")
EVERYBODY = [FAY, FINN, LEA, CHLOE, BOTH]
THREE = ApprovalRule(tree=InOrder((Leaf("role", "finance", 2), LEGAL, CFO)))


def test_a_stage_opens_when_the_one_before_is_filled() -> None:
    asked = []
    for votes in ([], [FAY], [FAY, FINN], [FAY, FINN, LEA]):
        result = count_votes(THREE, [vote(voter) for voter in votes], EVERYBODY)
        assert (result.outcome, result.missing) == (Outcome.WAITING, 4 - len(votes))
        asked.append((result.opened, result.stage, result.stages, result.waiting_for))
    assert asked == [
        ((1,), 1, 3, (Need(Leaf("role", "finance", 2), 2),)),
        ((1,), 1, 3, (Need(Leaf("role", "finance", 2), 1),)),
        ((2,), 2, 3, (Need(LEGAL, 1),)),
        ((3,), 3, 3, (Need(CFO, 1),)),
    ]
    assert count_votes(THREE, [vote(each) for each in (FAY, FINN, LEA, CHLOE)], EVERYBODY).outcome is Outcome.APPROVED


def test_an_approver_of_a_later_stage_gets_not_yet() -> None:
    assert eligibility(THREE, CHLOE, (), opened=(1,)) is Eligibility.NOT_YET
    assert eligibility(THREE, CHLOE, (), opened=(3,)) is Eligibility.COUNTS
    assert eligibility(THREE, CHLOE, ()) is Eligibility.COUNTS
    assert eligibility(THREE, FAY, (), opened=(3,)) is Eligibility.COUNTS
    assert eligibility(THREE, CHLOE, {CHLOE.id}, opened=(1,)) is Eligibility.EXCLUDED
    assert eligibility(THREE, approver(9, "clerk"), (), opened=(1,)) is Eligibility.NOT_ELIGIBLE


def test_one_human_counts_once_over_all_stages() -> None:
    rule = ApprovalRule(tree=InOrder((FINANCE, CFO)))
    alone = count_votes(rule, [vote(BOTH)], EVERYBODY)
    assert (alone.outcome, alone.stage, counted(alone)) == (Outcome.WAITING, 2, {5: "finance"})
    assert alone.waiting_for == (Need(CFO, 1),)
    assert count_votes(rule, [vote(BOTH)], [BOTH]).nobody_can_decide
    assert counted(count_votes(rule, [vote(BOTH), vote(CHLOE)], EVERYBODY)) == {4: "cfo", 5: "finance"}


def test_a_person_moves_to_the_stage_where_they_help_most() -> None:
    rule = ApprovalRule(tree=InOrder((FINANCE, CFO)))
    moved = count_votes(rule, [vote(BOTH), vote(FAY)], EVERYBODY)
    assert (moved.outcome, counted(moved)) == (Outcome.APPROVED, {1: "finance", 5: "cfo"})
    nobody_else_is_cfo = count_votes(rule, [vote(BOTH)], [BOTH, FAY])
    assert (nobody_else_is_cfo.waiting_for, nobody_else_is_cfo.nobody_can_decide) == ((Need(FINANCE, 1),), False)


def test_the_same_role_in_two_stages_asks_for_two_people() -> None:
    rule = ApprovalRule(tree=InOrder((FINANCE, AllOf((FINANCE, LEGAL)))))
    result = count_votes(rule, [], EVERYBODY)
    assert result.waiting_for == (Need(FINANCE, 1),)
    result = count_votes(rule, [vote(FAY)], EVERYBODY)
    assert (result.stage, result.waiting_for) == (2, (Need(Leaf("role", "finance", 2), 1), Need(LEGAL, 1)))


def test_a_reject_of_any_stage_ends_it() -> None:
    assert count_votes(THREE, [vote(FAY), vote(LEA, "reject")], EVERYBODY).outcome is Outcome.REJECTED


def test_merged_rules_keep_the_order_of_their_stages() -> None:
    rule = merge([ApprovalRule(tree=InOrder((FINANCE, CFO))), ApprovalRule(tree=InOrder((LEGAL, FINANCE, CFO)))])
    result = count_votes(rule, [], EVERYBODY)
    assert (result.opened, result.stage, result.stages) == ((1, 1), 1, 3)
    assert result.waiting_for == (Need(FINANCE, 1), Need(LEGAL, 1))
    result = count_votes(rule, [vote(LEA), vote(FAY)], EVERYBODY)
    assert (result.opened, result.stage, result.waiting_for, result.missing) == ((2, 3), 3, (Need(CFO, 1),), 1)
    assert count_votes(rule, [vote(CHLOE), vote(LEA), vote(FAY)], EVERYBODY).outcome is Outcome.APPROVED


def test_votes_given_later_do_not_count_yet() -> None:
    late = Vote(FINN.id, PrincipalKind.HUMAN, "approve", NOON + timedelta(minutes=1))
    assert count_votes(THREE, [vote(FAY), late], EVERYBODY, NOON).missing == 3
    assert count_votes(THREE, [vote(FAY), late], EVERYBODY, NOON + timedelta(minutes=1)).missing == 2
    assert count_votes(THREE, [vote(FAY), late], EVERYBODY).missing == 2


def test_escalation_lets_further_approvers_fill_any_leaf() -> None:
    lead = approver(8, "lead")
    rule = ApprovalRule(tree=InOrder((FINANCE, AnyOf((CFO, LEGAL)))))
    assert eligibility(rule, lead, ()) is Eligibility.NOT_ELIGIBLE
    assert eligibility(rule, lead, (), stand_ins=(Leaf("role", "lead"),)) is Eligibility.COUNTS
    assert count_votes(rule, [], [lead, CHLOE]).nobody_can_decide
    result = count_votes(rule, [vote(lead)], [lead, CHLOE], stand_ins=(Leaf("role", "lead"),))
    assert (result.stage, result.waiting_for, result.nobody_can_decide) == (2, (Need(CFO, 1),), False)


@settings(max_examples=examples(300))
@given(strategies.staged, some_votes, some_excluded)
def test_stages_agree_with_brute_force(tree: InOrder, votes: Sequence[Vote], excluded: set[uuid.UUID]) -> None:
    result = count_votes(ApprovalRule(tree=tree, veto=len(PEOPLE) + 1), votes, PEOPLE, excluded=excluded)
    humans = {someone for someone in PEOPLE if someone.kind is PrincipalKind.HUMAN and someone.id not in excluded}
    rejecting = {each.voter_id for each in votes if each.decision == "reject"}
    approvers = frozenset(someone for someone in humans if someone.id in {each.voter_id for each in votes} - rejecting)
    available = frozenset(someone for someone in humans if someone.id not in rejecting)
    filled = [any(True for _ in _satisfied(AllOf(tree.of[:count]), approvers)) for count in range(1, len(tree.of) + 1)]
    assert filled == sorted(filled, reverse=True)
    assert result.opened == (min(filled.count(True) + 1, len(tree.of)),)
    assert (result.outcome is Outcome.APPROVED) == filled[-1]
    reachable = [len(team - approvers) for team in _satisfied(AllOf(tree.of), available)]
    assert result.nobody_can_decide == (not filled[-1] and not reachable)
    if reachable:
        assert result.missing == min(reachable)
    if result.outcome is Outcome.WAITING:
        assert result.waiting_for
        asked = {leaf.name for leaf in _leaves(opened_part(tree, result.opened))}
        assert {need.leaf.name for need in result.waiting_for} <= asked


def _leaves(node: object) -> list[Leaf]:
    return [node] if isinstance(node, Leaf) else [leaf for part in node.of for leaf in _leaves(part)]  # type: ignore[attr-defined]
