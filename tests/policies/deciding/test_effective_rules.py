"""Effective rules with their origin and the rules that override them."""

from __future__ import annotations

from typing import Any

from policies.deciding.effective_rules import Binding, effective_rules
from policies.documents.overlay import OverlayScope
from policies.language.time_window import ALWAYS
from tests.policies.rulebooks import rule


def binding(policy: str, scope: OverlayScope, *rules: dict[str, Any]) -> Binding:
    return Binding(policy, f"ov_{policy}", scope, ALWAYS, f"pv_{policy}", 1, rules)


def summarized(*bindings: Binding) -> list[tuple[str, list[str], list[str]]]:
    return [
        (
            f"{entry.binding.policy}/{entry.rule['id']}",
            [f"{origin.binding.policy}/{origin.rule}" for origin in entry.overridden_by],
            list(entry.in_vain),
        )
        for entry in effective_rules(bindings)
    ]


def test_every_rule_lists_its_overriders_and_its_ineffective_overrides() -> None:
    wide = binding(
        "wide",
        OverlayScope("tenant"),
        {**rule("a", "deny"), "overridable": True},
        rule("b", "deny"),
        {**rule("c", "allow"), "overrides": ["narrow/z"]},
    )
    narrow = binding(
        "narrow",
        OverlayScope("workflow", "payment_run"),
        {**rule("x", "allow"), "overrides": ["wide/a", "wide/b", "other/q"]},
        {**rule("z", "deny"), "overridable": True},
    )
    assert summarized(narrow, wide) == [
        ("wide/a", ["narrow/x"], []),
        ("wide/b", [], []),
        ("wide/c", [], ["narrow/z"]),
        ("narrow/x", [], ["wide/b", "other/q"]),
        ("narrow/z", [], []),
    ]


def test_rules_are_ordered_by_scope_and_then_as_written() -> None:
    scopes = [
        OverlayScope("group", "emea"),
        OverlayScope("channel", "web"),
        OverlayScope("workflow", "w"),
        OverlayScope("tenant"),
    ]
    bindings = [binding(f"p{place}", scope, rule("b", "deny"), rule("a", "deny")) for place, scope in enumerate(scopes)]
    assert [name for name, _, _ in summarized(*bindings)] == [
        f"p{place}/{name}" for place in (3, 2, 1, 0) for name in ("b", "a")
    ]


def test_a_policy_in_two_scopes_overrides_itself_only_in_the_wider_scope() -> None:
    both = {**rule("no", "deny"), "overridable": True}, {**rule("yes", "allow"), "overrides": ["p/no"]}
    assert summarized(
        binding("p", OverlayScope("tenant"), *both), binding("p", OverlayScope("channel", "web"), *both)
    ) == [
        ("p/no", ["p/yes"], []),
        ("p/yes", [], ["p/no"]),
        ("p/no", [], []),
        ("p/yes", [], []),
    ]
