from __future__ import annotations

from typing import Any

import pytest

from policies.documents.list import MAX_ITEMS, parse_list
from policies.documents.policy import MAX_RULES, parse_policy
from policies.language.approvals import Leaf
from policies.language.facts import Point
from policies.language.rules import Effect
from threada_site.kernel.errors import DocumentInvalid, PolicyDocumentInvalid

RULE = {"id": "r", "when": "true", "effect": "allow", "reason": "FINE"}


def with_rule(**changes: Any) -> dict[str, Any]:
    return {"rules": [{name: value for name, value in (RULE | changes).items() if value is not ...}]}


def field_errors(document: Any) -> list[tuple[str, str]]:
    with pytest.raises(PolicyDocumentInvalid) as caught:
        parse_policy(document)
    return [(error.pointer, error.detail) for error in caught.value.errors]


def only_rule(**changes: Any) -> Any:
    [rule] = parse_policy(with_rule(**changes)).rules
    return rule


def test_a_whole_document() -> None:
    document = parse_policy(
        {
            "kind": "Policy",
            "id": "payments",
            "spec": {
                "default": "deny",
                "rules": [
                    {
                        "id": "large-payment",
                        "when": "ctx.action == 'pay' && item.payload.amount_minor > 1000000",
                        "effect": "require_approval",
                        "reason": "AMOUNT_OVER_LIMIT",
                        "message": "Above the limit.",
                        "approvals": {"role": "finance", "count": 2},
                        "overrides": ["base/strict"],
                        "overridable": True,
                    }
                ],
                "tests": [{"name": "one", "given": {"item": {"payload": {}}}, "expect": {"effect": "deny"}}],
            },
        }
    )
    [rule] = document.rules
    assert document.id == "payments"
    assert document.default is Effect.DENY
    assert (rule.id, rule.effect, rule.reason, rule.message) == (
        "large-payment",
        Effect.REQUIRE_APPROVAL,
        "AMOUNT_OVER_LIMIT",
        "Above the limit.",
    )
    assert rule.at == {Point.EXECUTE}
    assert rule.approvals is not None
    assert rule.approvals.tree == Leaf("role", "finance", 2)
    assert (rule.overrides, rule.overridable) == (("base/strict",), True)
    [test] = document.tests
    assert (test.name, test.effect, test.reason, test.pointer) == ("one", Effect.DENY, None, "/spec/tests/0")


def test_a_bare_spec_has_no_id() -> None:
    document = parse_policy({"rules": []})
    assert (document.id, document.rules, document.tests) == (None, (), ())


APPROVALS = {"role": "finance"}


@pytest.mark.parametrize(
    ("effect", "at", "points"),
    [
        ("deny", ..., {"intake", "execute"}),
        ("allow", ..., {"intake", "execute"}),
        ("review", ..., {"intake"}),
        ("require_approval", ..., {"execute"}),
        ("deny", "intake", {"intake"}),
        ("allow", "execute", {"execute"}),
        ("require_approval", "intake", {"intake"}),
        ("require_approval", "both", {"intake", "execute"}),
        ("review", "intake", {"intake"}),
    ],
)
def test_points_of_a_rule(effect: str, at: Any, points: set[str]) -> None:
    approvals = APPROVALS if effect == "require_approval" else ...
    assert only_rule(effect=effect, at=at, approvals=approvals).at == points


@pytest.mark.parametrize("at", ["execute", "both"])
def test_a_review_is_not_evaluated_at_execute(at: str) -> None:
    assert field_errors(with_rule(effect="review", at=at)) == [
        ("/rules/0/at", "A review is only possible at intake. Write at: intake, or use require_approval.")
    ]


def test_a_review_can_have_approvals() -> None:
    assert only_rule(effect="review").approvals is None
    assert only_rule(effect="review", approvals={"role": "legal"}).approvals.tree == Leaf("role", "legal", 1)


@pytest.mark.parametrize(
    ("document", "pointer", "detail"),
    [
        (with_rule(wen="true"), "/rules/0/wen", "There is no field 'wen' here. Did you mean when?"),
        (with_rule(effect="alow"), "/rules/0/effect", "'alow' is no effect. Did you mean allow?"),
        (with_rule(at="exectue"), "/rules/0/at", "'exectue' is no point. Did you mean execute?"),
        (with_rule(id=...), "/rules/0/id", "Give it an id"),
        (with_rule(id="No Slug"), "/rules/0/id", "Give it an id"),
        (with_rule(when=...), "/rules/0/when", "Write a condition as text"),
        (with_rule(when=True), "/rules/0/when", "Write a condition as text"),
        (with_rule(when="item.a ==\n foo"), "/rules/0/when", "line 2, column 2: undeclared reference to 'foo'"),
        (with_rule(when="[1].map(x, x) == []"), "/rules/0/when", "line 1, column 8: map is not available"),
        (with_rule(when="1 + 1"), "/rules/0/when", "A condition must return true or false."),
        (with_rule(reason="lower"), "/rules/0/reason", "Give a reason of 2 to 64 capitals"),
        (with_rule(reason="A"), "/rules/0/reason", "Give a reason of 2 to 64 capitals"),
        (with_rule(reason="A" * 65), "/rules/0/reason", "Give a reason of 2 to 64 capitals"),
        (with_rule(reason="FINE\n"), "/rules/0/reason", "Give a reason of 2 to 64 capitals"),
        (with_rule(reason=...), "/rules/0/reason", "Give a reason of 2 to 64 capitals"),
        (with_rule(message="x" * 501), "/rules/0/message", "A message is text of at most 500 characters."),
        (with_rule(effect="require_approval"), "/rules/0/approvals", "Name the approvers"),
        (with_rule(approvals=APPROVALS), "/rules/0/approvals", "Remove approvals"),
        (
            with_rule(effect="require_approval", approvals={"role": "finance", "cuont": 2}),
            "/rules/0/approvals/cuont",
            "There is no field 'cuont' here. Did you mean count?",
        ),
        (with_rule(overrides=["payments"]), "/rules/0/overrides/0", "Name a rule as policy/rule"),
        (with_rule(overrides="payments/a"), "/rules/0/overrides", "Write a list of at most 100 rules"),
        (with_rule(overridable="yes"), "/rules/0/overridable", "overridable must be true or false."),
        ({"rules": [RULE, RULE]}, "/rules/1/id", "There is another rule r. Rename one."),
        ({"rules": [RULE, 5]}, "/rules/1", "Each of rules must be an object."),
        ({"rules": {}}, "/rules", "Write a list of at most 1000 rules."),
        ({}, "/rules", "Write a list of at most 1000 rules."),
        ({"rules": [], "default": "allow"}, "/default", "The default is always deny."),
        ({"rules": [], "test": []}, "/test", "There is no field 'test' here. Did you mean tests?"),
        ({"rules": [RULE] * (MAX_RULES + 1)}, "/rules", "Write a list of at most 1000 rules."),
        ({"kind": "Polcy", "id": "a", "spec": {"rules": []}}, "/kind", "'Polcy' is no kind of document here."),
        ({"kind": "Policy", "spec": {"rules": []}}, "/id", "Give it an id"),
        ({"kind": "Policy", "id": "a"}, "/spec", "A policy is an object with rules."),
        ({"kind": "Policy", "id": "a", "spec": {"rules": [RULE | {"at": 1}]}}, "/spec/rules/0/at", "'1' is no point."),
        ({"rules": [], "tests": [{}]}, "/tests/0/expect", "Write the expected result"),
        ({"rules": [], "tests": [{"expect": {"effect": "no"}}]}, "/tests/0/expect/effect", "'no' is no effect."),
        (
            {"rules": [], "tests": [{"given": {"item": {"paylod": 1}}, "expect": {"effect": "deny"}}]},
            "/tests/0/given/item/paylod",
            "There is no field 'paylod' here. Did you mean payload?",
        ),
        (
            {"rules": [], "tests": [{"given": {"ctx": {"point": "x"}}, "expect": {"effect": "deny"}}]},
            "/tests/0/given/ctx/point",
            "'x' is no point.",
        ),
        (
            {"rules": [], "tests": [{"given": {"lists": {"a": 1}}, "expect": {"effect": "deny"}}]},
            "/tests/0/given/lists/a",
            "a must be a list.",
        ),
    ],
)
def test_errors_are_reported_at_their_pointer(document: Any, pointer: str, detail: str) -> None:
    found = field_errors(document)
    assert found[0][0] == pointer
    assert found[0][1].startswith(detail)
    assert len(found) == 1 or pointer == "/spec"


@pytest.mark.parametrize("value", [None, [], "x", 5])
def test_a_policy_must_be_an_object(value: Any) -> None:
    with pytest.raises(PolicyDocumentInvalid):
        parse_policy(value)


def test_all_errors_are_reported_at_once_up_to_50() -> None:
    assert [pointer for pointer, _ in field_errors({"rules": [{}]})] == [
        "/rules/0/effect",
        "/rules/0/id",
        "/rules/0/when",
        "/rules/0/reason",
    ]
    assert len(field_errors({"rules": [{}] * 100})) == 50


class TestLists:
    def test_are_parsed_whole_and_bare(self) -> None:
        document = parse_list({"kind": "List", "id": "vendors", "spec": {"items": ["Initech", 1, 2.5]}})
        assert (document.id, document.items) == ("vendors", ("Initech", 1, 2.5))
        assert parse_list({"items": []}).items == ()

    @pytest.mark.parametrize(
        ("value", "pointer"),
        [
            ({"items": [True]}, "/items/0"),
            ({"items": ["a", None]}, "/items/1"),
            ({"items": [["a"]]}, "/items/0"),
            ({"items": ["a" * 1025]}, "/items/0"),
            ({"items": "a"}, "/items"),
            ({}, "/items"),
            ({"items": [], "more": 1}, "/more"),
            ({"items": [1] * (MAX_ITEMS + 1)}, "/items"),
            ({"kind": "List", "id": "A b", "spec": {"items": []}}, "/id"),
            ({"kind": "Policy", "id": "a", "spec": {"items": []}}, "/kind"),
        ],
    )
    def test_refuse(self, value: Any, pointer: str) -> None:
        with pytest.raises(DocumentInvalid) as caught:
            parse_list(value)
        assert [error.pointer for error in caught.value.errors] == [pointer]

    def test_a_list_must_be_an_object(self) -> None:
        with pytest.raises(DocumentInvalid):
            parse_list(["a"])
