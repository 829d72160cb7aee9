"""Warnings about rules that never decide; removing these rules changes no outcome."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.documents.policy import parse_policy
from policies.language.evaluation import RulebookEntry, Verdict, compile_policy, evaluate
from policies.language.facts import build_facts
from policies.language.reachability import SHADOWED, UNREACHABLE, rule_warnings
from tests.examples import examples

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def rule(name: str, effect: str = "allow", when: str = "true", **more: Any) -> dict[str, Any]:
    if effect == "require_approval":
        more = {"approvals": {"role": "finance"}, **more}
    return {"id": name, "when": when, "effect": effect, "reason": name.upper().replace("-", "_"), **more}


def warned(*rules: dict[str, Any]) -> list[tuple[str, str]]:
    return [(found.pointer, found.code) for found in rule_warnings(parse_policy({"rules": list(rules)}))]


LARGE = "item.payload.amount > 1000"


@pytest.mark.parametrize(
    "rules",
    [
        [rule("large", "deny", LARGE), rule("rest")],
        # No stricter rule covers both points.
        [rule("large", "deny", LARGE, at="intake"), rule("large-too", "allow", LARGE)],
        # A stricter rule that others may override covers nothing.
        [rule("large", "deny", LARGE, overridable=True), rule("large-too", "allow", LARGE)],
        # A rule that overrides others has an effect elsewhere.
        [rule("large", "deny", LARGE), rule("large-too", "allow", LARGE, overrides=["other/rule"])],
        # Less strict and broader: both decide some cases.
        [rule("all-reviewed", "review"), rule("large", "deny", LARGE)],
        [rule("pay", "review", "ctx.action == 'pay'", at="intake", overrides=["a/b"]), rule("rest")],
        [rule("numbers", "deny", "item.payload.amount > 1000"), rule("other", "allow", "item.payload.amount > 1001")],
        [rule("first", "deny", LARGE), rule("second", "deny", LARGE)],  # both reasons are returned
        [rule("either", "deny", f"{LARGE} || item.confidence < 0.5"), rule("both", "allow", LARGE)],
    ],
)
def test_rules_that_can_decide_are_not_reported(rules: list[dict[str, Any]]) -> None:
    assert warned(*rules) == []


def test_rules_that_never_decide_are_reported_with_pointers() -> None:
    document = parse_policy({"rules": [rule("large", "deny", LARGE), rule("rest"), rule("never", when="false")]})
    assert [(found.pointer, found.detail) for found in rule_warnings(document)] == [
        (
            "/rules/2",
            "Rule never never decides: its condition is always false. Remove it, or correct the condition.",
        )
    ]
    (found,) = rule_warnings(parse_policy({"rules": [rule("large", "deny", LARGE), rule("late", "allow", LARGE)]}))
    assert found.detail == (
        "Rule late never decides: rule large (deny) matches whenever it does. Remove it, or narrow large."
    )


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([rule("never", when="item.payload.x == 1 && false"), rule("rest")], UNREACHABLE),
        ([rule("never", when="!(true || item.payload.x)"), rule("rest")], UNREACHABLE),
        ([rule("same", when=f"({LARGE})  // as below"), rule("large", "deny", LARGE)], UNREACHABLE),
        (
            [
                rule("turned", "allow", f"item.confidence < 0.5 && {LARGE}"),
                rule("straight", "deny", f"{LARGE} && item.confidence < 0.5"),
            ],
            UNREACHABLE,
        ),
        ([rule("all"), rule("none", "deny")], UNREACHABLE),
        ([rule("pay", "review", "ctx.action == 'pay'"), rule("rest")], UNREACHABLE),
        ([rule("point", "deny", "'execute' == ctx.point && item.confidence < 1.0", at="intake")], UNREACHABLE),
        ([rule("large", "allow", LARGE), rule("none", "deny")], SHADOWED),
        ([rule("narrow", "allow", f"{LARGE} && ctx.action == 'pay'"), rule("large", "deny", LARGE)], SHADOWED),
    ],
)
def test_the_first_rule_never_decides(rules: list[dict[str, Any]], code: str) -> None:
    assert warned(*rules) == [("/rules/0", code)]


def test_of_two_identical_rules_the_second_is_reported() -> None:
    twin = rule("first", "review", LARGE)
    assert warned(twin, {**twin, "id": "second"}) == [("/rules/1", UNREACHABLE)]


ATOMS = (
    "true", "false", LARGE, "item.payload.flag", "ctx.action == 'pay'", "ctx.action == ''", "ctx.point == 'intake'",
    "item.confidence < 0.5",
)  # fmt: skip
CONDITIONS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda part: f"({part[0]} {part[1]} {part[2]})"),
        inner.map(lambda part: f"!({part})"),
    ),
    max_leaves=3,
)


@st.composite
def rulebooks(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Draw a document, and one of a narrower scope that overrides some of its rules."""
    wide = [_drawn(draw, f"r{number}", overrides=[]) for number in range(draw(st.integers(1, 6)))]
    names = [f"wide/{entry['id']}" for entry in wide]
    chosen = st.lists(st.sampled_from(names), unique=True, max_size=3)
    narrow = [_drawn(draw, f"n{number}", overrides=draw(chosen)) for number in range(draw(st.integers(0, 2)))]
    return wide, narrow


def _drawn(draw: st.DrawFn, name: str, *, overrides: list[str]) -> dict[str, Any]:
    effect = draw(st.sampled_from(["deny", "require_approval", "review", "allow"]))
    at = draw(st.sampled_from(["intake"] if effect == "review" else ["intake", "execute", "both"]))
    reason = draw(st.sampled_from(["ONE", "TWO"]))
    more = {"overrides": overrides, "overridable": draw(st.booleans()), "at": at, "reason": reason}
    return rule(name, effect, draw(CONDITIONS), **more)


FACTS = st.builds(
    lambda payload, confidence, action: build_facts(
        point="execute" if action else "intake", now=NOW, payload=payload, confidence=confidence, action=action
    ),
    st.fixed_dictionaries({}, optional={"amount": st.sampled_from([5, 5000]), "flag": st.sampled_from([True, False])}),
    st.sampled_from([0.2, 0.9]),
    st.sampled_from(["", "pay", "refund"]),
)


def verdict(wide: list[dict[str, Any]], narrow: list[dict[str, Any]], facts: dict[str, Any]) -> Verdict:
    entries = [RulebookEntry("wide", "pv_1", "tenant", compile_policy(parse_policy({"rules": wide})))]
    entries.append(RulebookEntry("narrow", "pv_2", "workflow", compile_policy(parse_policy({"rules": narrow}))))
    return evaluate(entries, facts)


@settings(max_examples=examples(400))
@given(rulebooks(), st.lists(FACTS, min_size=1, max_size=6))
def test_removing_reported_rules_changes_no_outcome(
    rulebook: tuple[list[dict[str, Any]], list[dict[str, Any]]], cases: list[dict[str, Any]]
) -> None:
    """Holds always for unreachable rules, and for shadowed rules if no condition fails."""
    wide, narrow = rulebook
    said = {found.pointer: found.code for found in rule_warnings(parse_policy({"rules": wide}))}
    reached = [entry for place, entry in enumerate(wide) if said.get(f"/rules/{place}") != UNREACHABLE]
    deciding = [entry for place, entry in enumerate(wide) if f"/rules/{place}" not in said]
    for facts in cases:
        before = verdict(wide, narrow, facts)
        without = verdict(reached, narrow, facts)
        expected = (before.outcome, before.reason_codes, before.approvals)
        assert (without.outcome, without.reason_codes, without.approvals) == expected
        if not before.errors:
            lean = verdict(deciding, narrow, facts)
            assert (lean.outcome, lean.reason_codes, lean.approvals) == expected
