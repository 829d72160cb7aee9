"""Rule templates: conditions, approvers and insertion into documents."""

from __future__ import annotations

from typing import Any

import pytest

from policies.documents.policy import parse_policy
from policies.documents.rule_templates import RuleTemplate, facts_of, rule_from, with_rule
from threada_site.kernel.documents.reader import load_documents
from threada_site.kernel.errors import DocumentInvalid

SCHEMA = {
    "type": "object",
    "required": ["vendor", "amount_minor", "address"],
    "properties": {
        "vendor": {"type": "string"},
        "amount_minor": {"type": "integer"},
        "note": {"type": "string"},
        "urgent": {"type": "boolean"},
        "address": {"type": "object", "required": ["country"], "properties": {"country": {"type": "string"}, "zip": {"type": "string"}}},
        "tags": {"type": "array"},
        "not a name": {"type": "string"},
    },
}  # fmt: skip
FACTS = facts_of([SCHEMA])


def chosen(**changes: Any) -> RuleTemplate:
    return RuleTemplate(
        **{
            "id": "large",
            "fact": "item.payload.amount_minor",
            "comparison": ">",
            "value": "1000",
            "effect": "deny",
            "reason": "TOO_LARGE",
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("fact", "comparison", "value", "condition"),
    [
        ("item.payload.amount_minor", ">", "1000", "item.payload.amount_minor > 1000"),
        ("item.payload.vendor", "==", "O'Brien \\ Co", "item.payload.vendor == 'O\\'Brien \\\\ Co'"),
        ("item.payload.vendor", "==", "7", "item.payload.vendor == '7'"),
        ("item.payload.note", "!=", "x", "has(item.payload.note) && item.payload.note != 'x'"),
        ("item.payload.urgent", "==", "true", "has(item.payload.urgent) && item.payload.urgent == true"),
        ("item.payload.address.country", "in", "CH, LI", "item.payload.address.country in ['CH', 'LI']"),
        ("item.payload.address.zip", "has", "", "has(item.payload.address.zip)"),
        ("item.payload.note", "lacks", "", "!has(item.payload.note)"),
        ("item.payload.vendor", "in", "lists.sanctioned", "item.payload.vendor in lists.sanctioned"),
        ("item.payload.tags", "==", "vip", "has(item.payload.tags) && ('vip' in item.payload.tags)"),
        ("ctx.roles", "!=", "clerk", "!('clerk' in ctx.roles)"),
        ("item.confidence", "<", "0.5", "item.confidence < 0.5"),
        ("item.payload.unheard_of", "==", "5", "item.payload.unheard_of == 5"),
        ("item.payload.unheard_of", "==", "five", "item.payload.unheard_of == 'five'"),
    ],
)
def test_inserted_rules_compile(fact: str, comparison: str, value: str, condition: str) -> None:
    rule = rule_from(chosen(fact=fact, comparison=comparison, value=value), FACTS)
    assert rule["when"] == condition
    assert parse_policy({"rules": [rule]}).rules[0].when == condition


def test_approvers_are_included() -> None:
    rule = rule_from(chosen(effect="require_approval", role="finance", count=2), FACTS)
    assert rule["approvals"] == {"role": "finance", "count": 2}
    assert "approvals" not in rule_from(chosen(effect="deny", role="finance"), FACTS)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"value": "much"}, "value"),
        ({"fact": "item.payload.amount_minor || true"}, "fact"),
        ({"fact": "lists.x"}, "fact"),
        ({"comparison": "||"}, "comparison"),
        ({"fact": "item.payload.urgent", "comparison": "==", "value": "yes"}, "value"),
        ({"fact": "ctx.roles", "comparison": ">"}, "comparison"),
        ({"fact": "item.payload.vendor", "comparison": "in", "value": " , "}, "value"),
    ],
)
def test_invalid_choices_are_reported(changes: dict[str, str], field: str) -> None:
    with pytest.raises(DocumentInvalid) as refused:
        rule_from(chosen(**changes), FACTS)
    assert [entry.pointer for entry in refused.value.errors] == [field]


def test_optional_facts_are_guarded_with_has() -> None:
    facts = facts_of([SCHEMA, {"properties": {"amount_minor": {"type": "number"}}, "required": ["amount_minor"]}])
    assert facts["item.payload.vendor"].asked_first == ("item.payload.vendor",)
    assert (facts["item.payload.amount_minor"].kind, facts["item.payload.amount_minor"].asked_first) == ("", ())


RULE = {"id": "new", "when": "item.confidence < 0.5", "effect": "review", "reason": "LOW"}
WRITTEN = """\
kind: Policy
id: payments
spec:
  # Decided in March.
  rules:
    # Everything else.
    - {id: rest, when: "true", effect: allow, reason: REST}  # kept
  tests: []
"""


def test_the_rest_of_the_text_is_unchanged() -> None:
    text = with_rule(WRITTEN, RULE)
    assert text == WRITTEN.replace(
        "    - {id: rest",
        "    - id: new\n      when: item.confidence < 0.5\n      effect: review\n      reason: LOW\n    - {id: rest",
    )


@pytest.mark.parametrize(
    "text",
    [
        "rules: []\n",
        "spec: {rules: [{id: rest, when: 'true', effect: allow, reason: REST}]}\nkind: Policy\nid: x\n",
        '{"rules": [{"id": "rest", "when": "true", "effect": "allow", "reason": "REST"}]}',
        "tests: []\n",
        "rules:\n- id: rest\n  when: 'true'\n  effect: allow\n  reason: REST\n",
    ],
)
def test_the_rule_is_inserted_first_in_any_notation(text: str) -> None:
    (before,) = load_documents(text, source="x")
    (after,) = load_documents(with_rule(text, RULE), source="x")
    spec, old = (found.value.get("spec", found.value) for found in (after, before))
    assert spec["rules"] == [RULE, *old.get("rules", [])]
    assert {name: part for name, part in spec.items() if name != "rules"} == {
        name: part for name, part in old.items() if name != "rules"
    }


def test_invalid_text_is_refused() -> None:
    for text in ("rules: [", "a\n---\nb\n", "just text"):
        with pytest.raises(DocumentInvalid):
            with_rule(text, RULE)
