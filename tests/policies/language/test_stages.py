"""Stages of approval rules: parsing, requirements and merging."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.language.approvals import (
    AllOf,
    AnyOf,
    ApprovalRule,
    InOrder,
    Leaf,
    Together,
    demands,
    from_json,
    leaves_of,
    merge,
    opened_part,
    parse_approvals,
    stage_of,
    to_json,
    tracks,
    whole,
)
from tests.policies import approval_strategies as strategies
from tests.policies.language.test_approvals import field_errors
from threada_site.kernel.errors import PolicyDocumentInvalid

FINANCE, LEGAL, RISK, CFO = (Leaf("role", name) for name in ("finance", "legal", "risk", "cfo"))


def rule_of(*stages: Any) -> ApprovalRule:
    return ApprovalRule(tree=InOrder(stages) if len(stages) > 1 else stages[0])


def test_stages_are_written_in_order() -> None:
    document = {
        "stages": [{"role": "finance", "count": 2}, {"any": [{"role": "cfo"}, {"group": "board", "count": 2}]}],
        "exclude": ["requester"],
        "veto": 2,
    }
    rule = parse_approvals(document, pointer="")
    assert rule == ApprovalRule(
        tree=InOrder((Leaf("role", "finance", 2), AnyOf((CFO, Leaf("group", "board", 2))))), veto=2
    )
    assert to_json(rule) == {
        "stages": [
            {"role": "finance", "count": 2},
            {"any": [{"group": "board", "count": 2}, {"role": "cfo", "count": 1}]},
        ],
        "exclude": ["agent_owner", "last_editor", "requester"],
        "step_up": False,
        "veto": 2,
    }
    stored = parse_approvals(to_json(rule), pointer="")
    assert to_json(stored) == to_json(from_json(to_json(rule))) == to_json(rule)


def test_a_single_stage_has_no_order() -> None:
    assert to_json(parse_approvals({"stages": [{"all": [{"role": "legal"}]}]}, pointer="")) == to_json(
        ApprovalRule(tree=LEGAL)
    )


@pytest.mark.parametrize(
    ("document", "pointer", "said"),
    [
        ({"stages": []}, "/stages", "Write a list of 1 to 16 parts"),
        ({"stages": {"role": "finance"}}, "/stages", "Write a list of 1 to 16 parts"),
        ({"stages": ["finance"]}, "/stages/0", "Write an object"),
        ({"stages": [{"role": "finance"}, {}]}, "/stages/1", "Name exactly one of all, any, role, group, user, scope."),
        ({"stages": [{"rolle": "finance", "user": "a"}]}, "/stages/0/rolle", "Did you mean role?"),
        ({"stages": [{"role": "finance", "exclude": []}]}, "/stages/0/exclude", "There is no field 'exclude'"),
        ({"stages": [{"stages": [{"role": "finance"}]}]}, "/stages/0/stages", "Stages are not nested"),
        ({"all": [{"stages": [{"role": "finance"}]}]}, "/all/0/stages", "Stages are not nested"),
        ({"stages": [{"role": "finance"}], "role": "legal"}, "", "Name exactly one of"),
        ({"stages": [{"role": "finance"}], "count": 2}, "/count", "Leave count out here"),
        ({"stages": [{"role": "finance"}] * 17}, "/stages", "Write a list of 1 to 16 parts"),
        ({"stages": [{"all": [{"role": "a"}] * 40}, {"all": [{"role": "b"}] * 40}]}, "/stages/1/all/22", "64 parts"),
        ({"together": [{"together": [{"role": "finance"}]}]}, "/together/0/together", "There is no field 'together'"),
        ({"together": [{"stages": [{"user": "ann", "count": 2}]}]}, "/together/0/stages/0/count", "counts once"),
        ({"exclude": []}, "", "Name exactly one of all, any, role, group, user, scope, stages, together."),
    ],
)
def test_errors_in_stages_are_reported_at_their_position(document: Any, pointer: str, said: str) -> None:
    assert (pointer, True) in [(place, said in detail) for place, detail in field_errors(document)]


def test_too_many_ways_are_refused_over_all_stages() -> None:
    stage = {"all": [{"any": [{"role": f"r{i}"}, {"role": f"s{i}"}]} for i in range(4)]}
    other = {"all": [{"any": [{"role": f"t{i}"}, {"role": f"u{i}"}]} for i in range(4)]}
    assert parse_approvals({"stages": [stage]}, pointer="")
    assert field_errors({"stages": [stage, other]}) == [
        ("", "The approval can be satisfied in more than 128 ways. Use fewer `any` under `all`.")
    ]


def test_the_whole_of_stages_is_their_sum() -> None:
    assert whole(InOrder((FINANCE, AllOf((FINANCE, LEGAL))))) == AllOf((Leaf("role", "finance", 2), LEGAL))


def test_open_stages_stay_open() -> None:
    tree = InOrder((FINANCE, AllOf((FINANCE, LEGAL)), CFO))
    assert opened_part(tree, (1,)) == FINANCE
    assert opened_part(tree, (2,)) == AllOf((Leaf("role", "finance", 2), LEGAL))
    assert opened_part(tree, (3,)) == whole(tree)
    assert [stage_of(tree, (count,)) for count in (1, 2, 3)] == [(1, 3), (2, 3), (3, 3)]
    assert stage_of(FINANCE, (1,)) == (1, 1)


def test_merged_stages_keep_both_orders_and_deduplicate_leaves() -> None:
    short, long = rule_of(FINANCE, CFO), rule_of(RISK, FINANCE, CFO)
    merged = merge([short, long])
    assert merged.tree == Together((InOrder((FINANCE, CFO)), InOrder((RISK, FINANCE, CFO))))
    assert whole(merged.tree) == AllOf((CFO, FINANCE, RISK))
    assert sorted(leaf.name for leaf in leaves_of(merged.tree)) == ["cfo", "cfo", "finance", "finance", "risk"]
    assert opened_part(merged.tree, (1, 1)) == AllOf((FINANCE, RISK))
    assert opened_part(merged.tree, (2, 1)) == AllOf((CFO, FINANCE, RISK))
    assert stage_of(merged.tree, (2, 1)) == (1, 3)
    stored = to_json(merged)
    assert stored["together"] == [
        {"stages": [{"role": "finance", "count": 1}, {"role": "cfo", "count": 1}]},
        {"stages": [{"role": "risk", "count": 1}, {"role": "finance", "count": 1}, {"role": "cfo", "count": 1}]},
    ]
    assert from_json(stored) == merged == parse_approvals(stored, pointer="")


def test_an_unordered_rule_does_not_open_later_stages() -> None:
    merged = merge([rule_of(FINANCE, CFO), rule_of(AllOf((CFO, LEGAL))), rule_of(Leaf("role", "finance", 2))])
    assert tracks(merged.tree) == ((AllOf((CFO, Leaf("role", "finance", 2), LEGAL)),), (FINANCE, CFO))
    assert whole(merged.tree) == AllOf((CFO, Leaf("role", "finance", 2), LEGAL))
    assert opened_part(merged.tree, (1, 1)) == AllOf((Leaf("role", "finance", 2), LEGAL))
    either = merge([rule_of(FINANCE, CFO), rule_of(AnyOf((CFO, LEGAL)))])
    assert opened_part(either.tree, (1, 1)) == AllOf((FINANCE, LEGAL))


def test_the_same_rule_twice_is_asked_once() -> None:
    assert merge([rule_of(FINANCE, CFO), rule_of(FINANCE, CFO)]) == rule_of(FINANCE, CFO)
    assert merge([rule_of(FINANCE, CFO), rule_of(CFO, FINANCE)]).tree == Together(
        (InOrder((CFO, FINANCE)), InOrder((FINANCE, CFO)))
    )


def test_too_many_merged_ways_are_refused() -> None:
    many = [rule_of(Leaf("user", f"u{i}"), AnyOf((Leaf("role", f"r{i}"), Leaf("role", f"s{i}")))) for i in range(12)]
    with pytest.raises(PolicyDocumentInvalid):
        merge(many)


@settings(deadline=None)
@given(st.lists(strategies.rules, min_size=2, max_size=3))
def test_a_merged_rule_includes_each_rule(rules: list[ApprovalRule]) -> None:
    merged = merge(rules)
    assert all(merge(order) == merged for order in itertools.permutations(rules))
    assert from_json(to_json(merged)).tree == merged.tree
    for way in demands(whole(merged.tree)):
        asked = {leaf.name: leaf.count for leaf in way}
        for rule in rules:
            assert any(
                all(asked.get(leaf.name, 0) >= leaf.count for leaf in least) for least in demands(whole(rule.tree))
            )
    orders = {track for rule in rules for track in tracks(merge([rule]).tree) if len(track) > 1}
    assert orders == {track for track in tracks(merged.tree) if len(track) > 1}


def test_times_of_merged_rules_fit_their_deadline() -> None:
    from datetime import timedelta

    slow = ApprovalRule(
        tree=FINANCE,
        respond_within=timedelta(hours=8),
        remind_after=timedelta(hours=6),
        escalate_after=timedelta(hours=7),
        escalate_to=(CFO,),
    )
    merged = merge([slow, ApprovalRule(tree=LEGAL, expires_after=timedelta(hours=4))])
    assert (merged.respond_within, merged.remind_after, merged.escalate_after) == (timedelta(hours=4), None, None)
    assert merged.escalate_to == (CFO,)
    assert parse_approvals(to_json(merged), pointer="") == merged
