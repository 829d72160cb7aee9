from __future__ import annotations

from typing import Any

import pytest

from policies.documents.policy import parse_policy
from policies.language.rule_tests import run_tests

RULES = [
    {
        "id": "sanctioned-vendor",
        "when": "item.payload.vendor in lists.sanctioned_vendors",
        "effect": "deny",
        "reason": "SANCTIONED_VENDOR",
    },
    {
        "id": "large-payment",
        "when": "ctx.action == 'pay' && item.payload.amount_minor > 1000000",
        "effect": "require_approval",
        "reason": "AMOUNT_OVER_LIMIT",
        "approvals": {"role": "finance", "count": 2},
    },
    {"id": "low-confidence", "when": "item.confidence < 0.8", "effect": "review", "reason": "LOW_CONFIDENCE"},
    {"id": "within-limits", "when": "true", "effect": "allow", "reason": "WITHIN_LIMITS"},
]
PAYLOAD = {"vendor": "Initech", "amount_minor": 5}


def failures(*tests: dict[str, Any], **options: Any) -> list[tuple[str, str, str]]:
    document = parse_policy({"kind": "Policy", "id": "payments", "spec": {"rules": RULES, "tests": list(tests)}})
    return [(error.pointer, error.detail, error.code) for error in run_tests(document, **options)]


@pytest.mark.parametrize(
    ("given", "expect"),
    [
        ({"item": {"payload": PAYLOAD}}, {"effect": "allow", "reason": "WITHIN_LIMITS"}),
        ({"item": {"payload": PAYLOAD, "confidence": 0.5}}, {"effect": "review", "reason": "LOW_CONFIDENCE"}),
        (
            {"item": {"payload": PAYLOAD | {"amount_minor": 2_000_000}}, "ctx": {"action": "pay"}},
            {"effect": "require_approval", "reason": "AMOUNT_OVER_LIMIT"},
        ),
        (
            {"item": {"payload": PAYLOAD}, "ctx": {"action": "pay", "point": "intake"}},
            {"effect": "allow"},
        ),
        (
            {"item": {"payload": PAYLOAD}, "lists": {"sanctioned_vendors": ["Initech"]}},
            {"effect": "deny", "reason": "SANCTIONED_VENDOR"},
        ),
        ({}, {"effect": "deny", "reason": "policy_error"}),
    ],
)
def test_pass(given: dict[str, Any], expect: dict[str, Any]) -> None:
    assert failures({"given": given, "expect": expect}) == []


def test_failures_are_reported_with_pointers() -> None:
    assert failures(
        {"given": {"item": {"payload": PAYLOAD}}, "expect": {"effect": "allow"}},
        {"name": "big", "given": {"item": {"payload": PAYLOAD}}, "expect": {"effect": "deny", "reason": "TOO_BIG"}},
        {"given": {"item": {"payload": {"amount_minor": 1}}}, "expect": {"effect": "allow"}},
        {"given": {"item": {"payload": PAYLOAD}}, "expect": {"effect": "allow", "reason": "OTHER"}},
    ) == [
        ("/spec/tests/1", "Test 'big' expects deny TOO_BIG; the rules say allow WITHIN_LIMITS.", "test_failed"),
        (
            "/spec/tests/2",
            (
                "The test expects allow; the rules say deny policy_error. "
                'Rule sanctioned-vendor: Key not found in map : "vendor"'
            ),
            "test_failed",
        ),
        ("/spec/tests/3", "The test expects allow OTHER; the rules say allow WITHIN_LIMITS.", "test_failed"),
    ]


def test_tests_default_to_the_lists_of_the_tenant() -> None:
    test = {"given": {"item": {"payload": PAYLOAD}}, "expect": {"effect": "deny", "reason": "SANCTIONED_VENDOR"}}
    assert failures(test, lists={"sanctioned_vendors": ["Initech"]}) == []
    assert len(failures(test, lists={"other": ["Initech"]})) == 1
    given = test["given"] | {"lists": {"sanctioned_vendors": []}}
    assert len(failures(test | {"given": given}, lists={"sanctioned_vendors": ["Initech"]})) == 1
