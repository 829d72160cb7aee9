from __future__ import annotations

import dataclasses
import itertools
import time
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.language.approvals import (
    REVIEW_DEFAULT,
    AllOf,
    AnyOf,
    ApprovalRule,
    InOrder,
    Leaf,
    demands,
    from_json,
    merge,
    parse_approvals,
    to_json,
    tracks,
    whole,
)
from policies.language.approvals.stages import canonical_tree
from tests.policies import approval_strategies as strategies
from threada_site.kernel.errors import PolicyDocumentInvalid

FINANCE, LEGAL = Leaf("role", "finance"), Leaf("role", "legal")
DEFAULTS = {"requester", "last_editor", "agent_owner"}


def field_errors(value: Any, pointer: str = "") -> list[tuple[str, str]]:
    with pytest.raises(PolicyDocumentInvalid) as refusal:
        parse_approvals(value, pointer=pointer)
    return [(error.pointer, error.detail) for error in refusal.value.errors]


def test_the_documented_form_is_read() -> None:
    rule = parse_approvals(
        {
            "all": [{"role": "finance", "count": 2}],
            "exclude": ["requester"],
            "respond_within": "PT8H",
            "expires_after": "P3D",
            "on_expiry": "reject",
        },
        pointer="/spec/rules/1/approvals",
    )
    assert rule == ApprovalRule(
        tree=AllOf((Leaf("role", "finance", 2),)),
        exclude=frozenset({"requester", "last_editor", "agent_owner"}),
        respond_within=timedelta(hours=8),
        expires_after=timedelta(days=3),
        on_expiry="reject",
    )


def test_on_expiry_may_be_called_expire_or_reject() -> None:
    rules = [
        parse_approvals({"role": "finance", "expires_after": "P3D", "on_expiry": word}, pointer="/approvals")
        for word in ("expire", "reject")
    ]
    assert rules[0] == rules[1]
    assert to_json(rules[0])["on_expiry"] == "reject"


def test_every_field_is_read() -> None:
    rule = parse_approvals(
        {
            "any": [{"group": "board"}, {"all": [{"user": "ann"}, {"scope": "decisions:decide", "count": 3}]}],
            "exclude": ["policy_author"],
            "remind_after": "PT1H",
            "escalate_after": "PT2H",
            "escalate_to": [{"role": "lead"}, {"group": "board"}],
            "expires_after": "PT3H",
            "on_expiry": "escalate",
            "step_up": True,
            "veto": 2,
        },
        pointer="",
    )
    assert rule == ApprovalRule(
        tree=AnyOf((Leaf("group", "board"), AllOf((Leaf("user", "ann"), Leaf("scope", "decisions:decide", 3))))),
        exclude=frozenset({"requester", "last_editor", "policy_author", "agent_owner"}),
        remind_after=timedelta(hours=1),
        escalate_after=timedelta(hours=2),
        escalate_to=(Leaf("group", "board"), Leaf("role", "lead")),
        expires_after=timedelta(hours=3),
        on_expiry="escalate",
        step_up=True,
        veto=2,
    )


@pytest.mark.parametrize(
    ("document", "excluded"),
    [
        ({}, DEFAULTS),
        ({"exclude": ["requester"]}, DEFAULTS),
        ({"exclude": ["last_editor", "agent_owner"]}, DEFAULTS),
        ({"exclude": ["policy_author"]}, {*DEFAULTS, "policy_author"}),
        ({"exclude": []}, set()),
    ],
)
def test_a_document_adds_to_the_default_exclusions_or_lifts_them_all(
    document: dict[str, Any], excluded: set[str]
) -> None:
    rule = parse_approvals({"role": "finance"} | document, pointer="")
    assert rule.exclude == excluded
    assert parse_approvals(to_json(rule), pointer="") == rule
    assert merge([rule, ApprovalRule(tree=LEGAL)]).exclude == excluded | DEFAULTS


@pytest.mark.parametrize(
    ("document", "authentication", "step_up"),
    [
        ({}, "any", False),
        ({"authentication": "any"}, "any", False),
        ({"authentication": "session"}, "session", False),
        ({"authentication": "phishing_resistant"}, "phishing_resistant", False),
        ({"authentication": "step_up"}, "any", True),
        ({"step_up": True}, "any", True),
        ({"authentication": "session", "step_up": True}, "session", True),
    ],
)
def test_the_authentication_of_voters_is_read_and_stored(
    document: dict[str, Any], authentication: str, step_up: bool
) -> None:
    rule = parse_approvals({"role": "finance"} | document, pointer="")
    assert (rule.authentication, rule.step_up) == (authentication, step_up)
    assert parse_approvals(to_json(rule), pointer="") == rule == from_json(to_json(rule))


def test_of_several_rules_the_strictest_authentication_and_validity_apply() -> None:
    lenient = ApprovalRule(tree=FINANCE, approval_valid_for=timedelta(days=60))
    strict = ApprovalRule(tree=LEGAL, authentication="phishing_resistant", approval_valid_for=timedelta(days=2))
    merged = merge([lenient, strict, ApprovalRule(tree=LEGAL, authentication="session")])
    assert (merged.authentication, merged.approval_valid_for) == ("phishing_resistant", timedelta(days=2))
    assert merge([lenient, ApprovalRule(tree=LEGAL)]).approval_valid_for == timedelta(days=30)


def test_approvals_are_valid_for_thirty_days_unless_the_rule_says_otherwise() -> None:
    assert parse_approvals({"role": "finance"}, pointer="").approval_valid_for == timedelta(days=30)
    rule = parse_approvals({"role": "finance", "approval_valid_for": "P7D"}, pointer="")
    assert rule.approval_valid_for == timedelta(days=7)
    assert from_json(to_json(rule)) == rule
    for wrong in ("a week", 7, "P0D"):
        with pytest.raises(PolicyDocumentInvalid) as refused:
            parse_approvals({"role": "finance", "approval_valid_for": wrong}, pointer="/a")
        assert [error.pointer for error in refused.value.errors] == ["/a/approval_valid_for"]


def test_all_errors_are_reported_in_document_order_without_consequences() -> None:
    assert field_errors(
        {
            "all": [{"role": "finance", "cuont": 2}, {"rôle": "legal"}, {"user": "ann", "count": 2}, "legal"],
            "exclude": ["requestor"],
            "respond_within": "8h",
            "expires_afer": "P3D",
            "on_expiry": "rejct",
            "step_up": "yes",
            "veto": 0,
        },
        "/a",
    ) == [
        ("/a/all/0/cuont", "There is no field 'cuont' here. Did you mean count?"),
        ("/a/all/1/rôle", "There is no field 'rôle' here. Did you mean role?"),
        ("/a/all/2/count", "A single user counts once. Leave count out."),
        ("/a/all/3", "Write an object, e.g. {role: finance, count: 2}."),
        ("/a/exclude/0", "'requestor' is no exclusion. Did you mean requester?"),
        (
            "/a/respond_within",
            (
                "'8h' is not a duration. Write ISO 8601 in weeks, or in days, hours, minutes and seconds: "
                "PT8H, P3D, P1DT12H, P2W."
            ),
        ),
        ("/a/expires_afer", "There is no field 'expires_afer' here. Did you mean expires_after?"),
        ("/a/on_expiry", "'rejct' is no on_expiry. Did you mean reject?"),
        ("/a/step_up", "step_up must be true or false."),
        ("/a/veto", "veto must be a whole number from 1 to 100."),
    ]


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ([], ""),
        (None, ""),
        ({}, ""),
        ({"role": "finance", "group": "board"}, ""),
        ({"all": []}, "/all"),
        ({"all": {"role": "finance"}}, "/all"),
        ({"all": [{"role": "finance"}], "count": 2}, "/count"),
        ({"role": "Fin ance"}, "/role"),
        ({"role": 3}, "/role"),
        ({"user": ""}, "/user"),
        ({"scope": "decisions:decided"}, "/scope"),
        ({"role": "finance", "count": 0}, "/count"),
        ({"role": "finance", "count": True}, "/count"),
        ({"role": "finance", "count": 1.0}, "/count"),
        ({"role": "finance", "count": 101}, "/count"),
        ({"role": "finance", "exclude": "requester"}, "/exclude"),
        ({"role": "finance", "exclude": [["requester"]]}, "/exclude/0"),
        ({"role": "finance", "expires_after": 3}, "/expires_after"),
        ({"role": "finance", "escalate_after": "PT1H"}, "/escalate_to"),
        ({"role": "finance", "expires_after": "PT1H", "on_expiry": "escalate"}, "/escalate_to"),
        ({"role": "finance", "escalate_after": "PT1H", "escalate_to": []}, "/escalate_to"),
        ({"role": "finance", "escalate_after": "PT1H", "escalate_to": ["lead"]}, "/escalate_to/0"),
        (
            {"role": "finance", "escalate_after": "PT1H", "escalate_to": {"role": "lead", "count": 2}},
            "/escalate_to/count",
        ),
        ({"role": "finance", "expires_after": "PT1H", "respond_within": "PT2H"}, "/respond_within"),
        ({"role": "finance", "a/b~": 1}, "/a~1b~0"),
    ],
)
def test_an_invalid_document_is_refused_with_its_pointer(document: Any, pointer: str) -> None:
    named = [place for place, _ in field_errors(document)]
    assert named == [pointer]


def test_hostile_documents_are_refused_quickly() -> None:
    nested: dict[str, Any] = {"role": "finance"}
    for _ in range(12):
        nested = {"all": [nested] * 20}
    many_ways = {"all": [{"any": [{"role": f"r{i}"}, {"role": f"s{i}"}]} for i in range(12)]}
    started = time.process_time()
    assert len(field_errors(nested)) == 1
    assert field_errors({"all": [{"role": "finance"}] * 65})[0][0] == "/all/63"
    assert field_errors(many_ways) == [
        ("", "The approval can be satisfied in more than 128 ways. Use fewer `any` under `all`.")
    ]
    assert len(field_errors({"role": "finance"} | {f"x{i}": 1 for i in range(100_000)})) == 50
    assert len(field_errors({"role": "finance", "exclude": ["x"] * 100_000})) == 50
    assert time.process_time() - started < 2


def test_duplicate_leaves_add_up_under_all_and_take_the_maximum_across_rules() -> None:
    twice = ApprovalRule(tree=AllOf((FINANCE, FINANCE)))
    three = ApprovalRule(tree=Leaf("role", "finance", 3))
    assert merge([twice]).tree == Leaf("role", "finance", 2)
    assert merge([twice, three]).tree == Leaf("role", "finance", 3)


def test_merge_takes_the_strictest_of_each_field() -> None:
    one = ApprovalRule(
        tree=AllOf((Leaf("role", "finance", 2), AnyOf((LEGAL, Leaf("group", "board"))))),
        exclude=frozenset({"requester"}),
        respond_within=timedelta(hours=8),
        expires_after=timedelta(days=3),
        on_expiry="escalate",
        escalate_to=(Leaf("role", "lead"),),
        veto=2,
    )
    other = ApprovalRule(
        tree=AllOf((FINANCE, LEGAL)),
        exclude=frozenset({"last_editor"}),
        respond_within=timedelta(hours=4),
        expires_after=timedelta(days=4),
        on_expiry="reject",
        escalate_to=(Leaf("group", "board"),),
        step_up=True,
        veto=1,
    )
    assert merge([one, other]) == ApprovalRule(
        tree=AllOf((Leaf("role", "finance", 2), LEGAL, AnyOf((Leaf("group", "board"), LEGAL)))),
        exclude=frozenset({"requester", "last_editor"}),
        respond_within=timedelta(hours=4),
        expires_after=timedelta(days=3),
        on_expiry="reject",
        escalate_to=(Leaf("group", "board"), Leaf("role", "lead")),
        step_up=True,
        veto=1,
    )


def test_a_rule_without_deadline_does_not_affect_on_expiry() -> None:
    escalating = ApprovalRule(tree=FINANCE, expires_after=timedelta(days=1), on_expiry="escalate")
    assert merge([escalating, ApprovalRule(tree=LEGAL)]).on_expiry == "escalate"


def test_merge_refuses_no_rules_and_too_many_ways() -> None:
    with pytest.raises(ValueError, match="no rule"):
        merge([])
    many = [ApprovalRule(tree=AnyOf((Leaf("role", f"r{i}"), Leaf("role", f"s{i}")))) for i in range(12)]
    with pytest.raises(PolicyDocumentInvalid):
        merge(many)


def test_the_canonical_form_is_a_valid_document() -> None:
    document = {
        "any": [{"role": "finance", "count": 2}, {"user": "ann", "count": 1}],
        "exclude": ["agent_owner", "last_editor", "requester"],
        "respond_within": "PT8H",
        "expires_after": "P3D",
        "on_expiry": "escalate",
        "escalate_to": [{"role": "lead"}],
        "step_up": False,
        "veto": 1,
    }
    rule = parse_approvals(document, pointer="")
    assert to_json(rule) == document
    assert list(to_json(rule)) == list(document)
    assert from_json(document) == rule


def test_a_review_without_approvals_needs_one_vote() -> None:
    assert to_json(REVIEW_DEFAULT) == {
        "scope": "decisions:decide",
        "count": 1,
        "exclude": ["agent_owner", "last_editor", "requester"],
        "step_up": False,
        "veto": 1,
    }


@settings(deadline=None)
@given(strategies.rules)
def test_every_rule_round_trips_through_json(rule: ApprovalRule) -> None:
    stored = from_json(to_json(rule))
    assert to_json(stored) == to_json(rule)
    assert set(demands(whole(stored.tree))) == set(demands(whole(rule.tree)))
    assert tracks(canonical_tree(stored.tree)) == tracks(canonical_tree(rule.tree))
    if rule.expires_after is None:
        stored = dataclasses.replace(stored, on_expiry=rule.on_expiry)
    assert dataclasses.replace(stored, tree=rule.tree) == dataclasses.replace(
        rule, escalate_to=tuple(sorted(rule.escalate_to, key=lambda leaf: (leaf.kind, leaf.name)))
    )


@settings(deadline=None)
@given(st.lists(strategies.rules, min_size=1, max_size=3))
def test_merge_is_independent_of_order(rules: list[ApprovalRule]) -> None:
    merged = merge(rules)
    assert all(merge(order) == merged for order in itertools.permutations(rules))
    assert merge([*rules, *rules]) == merged
    stepwise = rules[0]
    for rule in rules[1:]:
        stepwise = merge([stepwise, rule])
    if not any(isinstance(rule.tree, InOrder) for rule in rules):
        assert merge([stepwise]).tree == merged.tree


@settings(deadline=None)
@given(strategies.trees)
def test_demands_are_minimal(tree: Any) -> None:
    ways = [{leaf.name: leaf.count for leaf in way} for way in demands(tree)]
    assert ways
    for one, other in itertools.permutations(ways, 2):
        assert any(one.get(name, 0) < count for name, count in other.items())
