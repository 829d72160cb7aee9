"""Properties of every rulebook: a deny never loosens, order has no effect, and a reference evaluator agrees."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.language.approvals import merge
from policies.language.evaluation import SCOPES, RulebookEntry, Verdict, evaluate
from tests.examples import examples, long_run
from tests.policies.random_rulebooks import (
    EFFECTS,
    RandomRulebook,
    comparable,
    random_condition,
    random_facts,
    random_rule,
    random_rulebook,
    reference_verdict,
)

_SEEDS = st.integers(0, 2**63)
_settings = settings(max_examples=examples(150))


def strictness(verdict: Verdict) -> int:
    """Return the rank of an effect; 0 is the strictest."""
    return EFFECTS.index(str(verdict.outcome))


@_settings
@given(seed=_SEEDS)
def test_adding_a_deny_never_loosens(seed: int) -> None:
    """Holds for any scope, overrides and condition of the added rule."""
    rng = random.Random(seed)
    rulebook, facts = random_rulebook(rng), random_facts(rng)
    names = [f"p{policy}/r{number}" for policy in range(4) for number in range(4)]
    condition = random_condition(rng)
    deny = {**random_rule(rng, "added", condition, names), "effect": "deny"}
    deny.pop("approvals", None)
    bound = [(policy, scope, spec, conditions) for policy, scope, spec, conditions in rulebook.bound]
    place = rng.randrange(len(bound) + 1)
    if place == len(bound):
        bound.append(("new", rng.choice(SCOPES), {"rules": [deny]}, (condition,)))
    else:
        policy, scope, spec, conditions = bound[place]
        bound[place] = (policy, scope, {"rules": [*spec["rules"], deny]}, (*conditions, condition))
    before = evaluate(rulebook.entries(), facts)
    after = evaluate(RandomRulebook(tuple(bound)).entries(), facts)
    assert strictness(after) <= strictness(before)


@_settings
@given(seed=_SEEDS)
def test_the_order_of_rules_and_policies_has_no_effect(seed: int) -> None:
    rng = random.Random(seed)
    rulebook, facts = random_rulebook(rng), random_facts(rng)
    shuffled = []
    for policy, scope, spec, conditions in rulebook.bound:
        rules = rng.sample(spec["rules"], len(spec["rules"]))
        shuffled.append((policy, scope, {"rules": rules}, conditions))
    rng.shuffle(shuffled)
    first, second = (evaluate(book.entries(), facts) for book in (rulebook, RandomRulebook(tuple(shuffled))))
    assert (first.outcome, first.reason_codes, first.matched, first.overridden, first.approvals) == (
        second.outcome,
        second.reason_codes,
        second.matched,
        second.overridden,
        second.approvals,
    )
    assert comparable(first) == comparable(second)


@_settings
@given(seed=_SEEDS)
def test_without_overrides_the_grouping_of_overlays_has_no_effect(seed: int) -> None:
    """Taking the strictest effect is associative, so parts can be decided separately and joined in any order."""
    rng = random.Random(seed)
    rulebook, facts = random_rulebook(rng, may_fail=False, may_override=False), random_facts(rng)
    entries = rulebook.entries()
    alone = [[evaluate([entry], facts)] for entry in entries]
    whole = joined(evaluate(entries, facts))
    if entries:
        left = right = joined(*alone[0])
        for (verdict,) in alone[1:]:
            left = both(left, joined(verdict))
        for (verdict,) in reversed(alone):
            right = both(joined(verdict), right)
        assert left == whole
        assert right == whole
    moved = [replace(entry, scope=rng.choice(SCOPES)) for entry in entries]
    assert joined(evaluate(moved, facts)) == whole


type Joined = tuple[int, frozenset[str], Any]


def joined(verdict: Verdict) -> Joined:
    """Join effect, reasons and approvals. An empty part is the neutral element until all parts are joined."""
    if verdict.reason_codes == ("no_rule_matched",):
        return (len(EFFECTS), frozenset(), None)
    return (strictness(verdict), frozenset(verdict.reason_codes), verdict.approvals)


def both(one: Joined, other: Joined) -> Joined:
    if one[0] != other[0]:
        return min(one, other, key=lambda part: part[0])
    approvals = merge([one[2], other[2]]) if one[2] and other[2] and one[2] != other[2] else one[2] or other[2]
    return (one[0], one[1] | other[1], approvals)


def check_against_reference(numbers: Sequence[int]) -> None:
    outcomes: dict[str, int] = {}
    for number in numbers:
        rng = random.Random(number)
        rulebook, facts = random_rulebook(rng), random_facts(rng)
        verdict = evaluate(rulebook.entries(), facts)
        assert comparable(verdict) == reference_verdict(rulebook, facts), f"rulebook {number}"
        outcomes[str(verdict.outcome)] = outcomes.get(str(verdict.outcome), 0) + 1
    assert set(outcomes) == set(EFFECTS), outcomes


def test_the_evaluator_agrees_with_the_reference() -> None:
    check_against_reference(range(500))


@pytest.mark.slow
def test_the_evaluator_agrees_with_the_reference_on_many_cases() -> None:
    check_against_reference(range(long_run(20_000)))


def test_the_reference_covers_every_kind_of_case() -> None:
    """The first 500 cases include no match, failures and overrides, so that the comparison is meaningful."""
    seen: set[str] = set()
    for number in range(500):
        rng = random.Random(number)
        said = reference_verdict(random_rulebook(rng), random_facts(rng))
        seen |= said.reasons & {"policy_missing", "policy_error", "no_rule_matched"}
        seen |= {"overridden"} if said.overridden else set()
        seen |= {"joined"} if len(said.asked) > 1 else set()
    assert seen == {"policy_missing", "policy_error", "no_rule_matched", "overridden", "joined"}


def test_an_unreadable_entry_denies() -> None:
    rng = random.Random(7)
    entries = [*random_rulebook(rng).entries(), RulebookEntry("broken", "pv_broken", "tenant", None)]
    assert evaluate(entries, random_facts(rng)).reason_codes == ("policy_malformed",)
