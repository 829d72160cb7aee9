"""JSON Schema of `kind: Policy` documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from policies.documents.list import ITEM, MAX_ITEMS
from policies.language.approvals.schema import DEFINITIONS
from policies.language.facts import CONTEXT_FACTS, ITEM_FACTS
from policies.language.rules import Effect
from threada_site.kernel.documents.kind_schema import KindSchema
from threada_site.kernel.documents.structure import SLUG, Schema, closed_object, text
from threada_site.kernel.ids import SLUG_PATTERN

MAX_RULES: Final = 1000
MAX_TESTS: Final = 1000
MAX_OVERRIDES: Final = 100
MAX_MESSAGE: Final = 500
MAX_TEST_NAME: Final = 200
REASON_PATTERN: Final = r"[A-Z][A-Z0-9_]{1,63}"

_EFFECTS: Final = [effect.value for effect in Effect]


def _facts(facts: Mapping[str, dict[str, Any]], description: str) -> Schema:
    """Return the schema of given facts: any values of known names, except the point."""
    known = {name: {"description": of["description"]} for name, of in facts.items()}
    if "point" in facts:
        known["point"] = {**known["point"], "enum": facts["point"]["enum"]}
    return closed_object(known, description=description)


_WITH_APPROVALS: Final[Schema] = {
    "if": {"properties": {"effect": {"const": "require_approval"}}, "required": ["effect"]},
    "then": {
        "required": ["approvals"],
        "properties": {"approvals": {"errorMessage": "Name the approvers, e.g. {role: finance, count: 2}."}},
    },
}
_WITHOUT_APPROVALS: Final[Schema] = {
    "if": {"properties": {"effect": {"enum": ["deny", "allow"]}}, "required": ["effect"]},
    "then": {
        "properties": {
            "approvals": {"not": {}, "errorMessage": "Remove approvals: only require_approval and review take them."}
        }
    },
}
_REVIEW_AT_INTAKE: Final[Schema] = {
    "if": {"properties": {"effect": {"const": "review"}, "at": {"enum": ["execute", "both"]}}, "required": ["effect"]},
    "then": {
        "properties": {
            "at": {
                "not": {},
                "errorMessage": "A review is only possible at intake. Write at: intake, or use require_approval.",
            }
        }
    },
}
_RULE: Final = closed_object(
    {
        "id": {**SLUG, "description": "Id of the rule, unique in the policy.", "examples": ["large-payment"]},
        "when": {
            "type": "string",
            "description": "CEL expression over item, ctx, input and lists that returns true or false.",
            "examples": ["item.payload.amount_minor > 1000000"],
            "errorMessage": "Write a condition as text, e.g. 'true'.",
        },
        "effect": {"enum": _EFFECTS, "description": "Effect if the condition is true. The strictest effect wins."},
        "at": {
            "enum": ["intake", "execute", "both"],
            "title": "point",
            "description": "Where the rule is evaluated. Default: both; review: intake; require_approval: execute.",
        },
        "reason": {
            "type": "string",
            "pattern": f"^{REASON_PATTERN}$",
            "description": "Reason code that callers get.",
            "examples": ["AMOUNT_OVER_LIMIT"],
            "errorMessage": "Give a reason of 2 to 64 capitals, digits and _, e.g. AMOUNT_OVER_LIMIT.",
        },
        "message": {
            "type": ["string", "null"],
            "maxLength": MAX_MESSAGE,
            "description": "Explanation for people.",
            "errorMessage": f"A message is text of at most {MAX_MESSAGE} characters.",
        },
        "approvals": {"$ref": "#/$defs/approvals"},
        "overrides": {
            "type": "array",
            "maxItems": MAX_OVERRIDES,
            "default": [],
            "items": {
                "type": "string",
                "pattern": f"^{SLUG_PATTERN}/{SLUG_PATTERN}$",
                "errorMessage": "Name a rule as policy/rule, e.g. payments/large-payment.",
            },
            "description": "Overridable rules of wider policies that do not apply if this rule matches.",
            "errorMessage": f"Write a list of at most {MAX_OVERRIDES} rules, e.g. [payments/large-payment].",
        },
        "overridable": {
            "type": "boolean",
            "default": False,
            "description": "Rules of narrower policies can override this rule.",
        },
    },
    required=("effect", "id", "when", "reason"),
    allOf=[_WITH_APPROVALS, _WITHOUT_APPROVALS, _REVIEW_AT_INTAKE],
)
_TEST: Final = closed_object(
    {
        "name": text(MAX_TEST_NAME, default="", description="Name of the test in results."),
        "given": closed_object(
            {
                "item": _facts(ITEM_FACTS, "Facts of the work item."),
                "ctx": _facts(CONTEXT_FACTS, "Facts of the action and of who acts."),
                "input": {"description": "Input of the action."},
                "lists": {
                    "type": "object",
                    "description": "Lists by name. Default: the lists in force.",
                    "additionalProperties": {"type": "array", "items": ITEM, "maxItems": MAX_ITEMS},
                },
            },
            default={},
            description="Facts of the case. Missing facts have defaults.",
        ),
        "expect": closed_object(
            {
                "effect": {"enum": _EFFECTS, "description": "Expected effect of all rules together."},
                "reason": {"type": ["string", "null"], "description": "Expected reason code."},
            },
            required=("effect",),
            description="Expected result.",
            examples=[{"effect": "deny", "reason": "SANCTIONED_VENDOR"}],
            errorMessage="Write the expected result, e.g. {effect: deny, reason: SANCTIONED_VENDOR}.",
        ),
    },
    required=("expect",),
)
POLICY_SCHEMA: Final = KindSchema(
    "Policy",
    closed_object(
        {
            "rules": {
                "type": "array",
                "maxItems": MAX_RULES,
                "items": _RULE,
                "description": "Rules in any order.",
                "errorMessage": f"Write a list of at most {MAX_RULES} rules.",
            },
            "tests": {
                "type": "array",
                "maxItems": MAX_TESTS,
                "items": _TEST,
                "default": [],
                "description": "Tests that must pass before publication.",
                "errorMessage": f"Write a list of at most {MAX_TESTS} tests.",
            },
            "default": {
                "const": "deny",
                "default": "deny",
                "description": "Effect if no rule matches.",
                "errorMessage": "The default is always deny. Write a rule instead.",
            },
        },
        required=("rules",),
        description="Rules that decide about work items and actions.",
        errorMessage="A policy is an object with rules. Write {rules: [...]}.",
    ),
    DEFINITIONS,
)
