"""Request schemas of the rulebook. Documents are validated by their parsers; these schemas give the outline."""

from __future__ import annotations

from typing import Any, Final

from policies.documents.overlay import SCOPE_KINDS
from policies.documents.title_template import MAX_TEMPLATE
from policies.documents.workflow import (
    DEFAULT_DATA_CLASS,
    DEFAULT_MAX_PAYLOAD_BYTES,
    MAX_DESCRIPTION,
    MAX_NAME,
    MAX_RELATED_BY,
    MAX_SUMMARY,
    MOST_MEMBERS,
    MOST_PAYLOAD_BYTES,
    ON_REJECT,
    PAUSES,
)
from policies.language.rules import Effect
from policies.publication.rules import MAX_REASON, MIN_REASON
from threada_site.api.shapes import SLUG, shape
from threada_site.kernel.json.strict import MAX_MEMBERS

_INSTANT: Final[dict[str, Any]] = {"type": ["string", "null"], "format": "date-time", "maxLength": 40}
NAME: Final = {"type": "string", "maxLength": MAX_NAME}

WORKFLOW_SPEC: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "description": {"type": "string", "maxLength": MAX_DESCRIPTION},
        "channel_required": {"type": "boolean", "default": False},
        "payload_schema": {"type": "object", "description": "JSON Schema (2020-12) of the payload."},
        "assert_format": {"type": "boolean", "default": False},
        "max_payload_bytes": {
            "type": "integer",
            "minimum": 1,
            "maximum": MOST_PAYLOAD_BYTES,
            "default": DEFAULT_MAX_PAYLOAD_BYTES,
        },
        "max_members": {
            "type": "integer",
            "minimum": 1,
            "maximum": MOST_MEMBERS,
            "default": MAX_MEMBERS,
            "description": "Most members of one object in a payload.",
        },
        "actions": {"type": "array", "items": SLUG, "description": "Actions that may be executed."},
        "data_class": {**SLUG, "default": DEFAULT_DATA_CLASS},
        "reject_reasons": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "on_reject": {"enum": list(ON_REJECT), "default": "end"},
        "questions": {
            "type": "object",
            "properties": {"pause": {"enum": list(PAUSES)}, "at_most": {"type": "string", "maxLength": 32}},
            "additionalProperties": False,
            "description": "Questions to the requester: what stops meanwhile, and for how long they stay open.",
        },
        "subject": {
            "type": ["string", "null"],
            "description": "JSON pointer to the data subject in the payload; encrypts the contents of the case. A "
            "version that follows one with a subject must name it, or end the protection by null.",
        },
        "title": {"type": "string", "maxLength": MAX_TEMPLATE, "description": "Template of the title of work items."},
        "summary": {
            "type": "array",
            "items": {"type": "string"},
            "maxItems": MAX_SUMMARY,
            "description": "JSON pointers to the fields of the payload that people see first, in order.",
        },
        "unique_external_ref": {
            "type": "boolean",
            "default": False,
            "description": "A second work item with the same `external_ref` is refused.",
        },
        "related_by": {
            "type": "array",
            "items": {"type": "string"},
            "maxItems": MAX_RELATED_BY,
            "description": "JSON pointers into the payload. Work items with equal values are shown as related.",
        },
        "request": {
            "type": "object",
            "properties": {
                "action": SLUG,
                "integration": SLUG,
                "channel": {**SLUG, "description": "Channel of the new work item."},
                "input": {
                    "type": "object",
                    "description": "Input of the action. Templates read item, ctx.",
                },
            },
            "required": ["action", "integration"],
            "additionalProperties": False,
            "description": "Action that a request in the console executes.",
        },
    },
    "additionalProperties": False,
}
PAYMENT_RUN: Final = {
    "channel_required": True,
    "payload_schema": {
        "type": "object",
        "required": ["vendor", "amount_minor"],
        "properties": {"vendor": {"type": "string"}, "amount_minor": {"type": "integer"}},
    },
    "actions": ["pay"],
}
PAYMENTS: Final = {
    "rules": [
        {
            "id": "large-payment",
            "when": "ctx.action == 'pay' && item.payload.amount_minor > 1000000",
            "effect": Effect.REQUIRE_APPROVAL.value,
            "reason": "AMOUNT_OVER_LIMIT",
            "approvals": {"role": "finance", "count": 2},
        },
        {"id": "within-limits", "when": "true", "effect": Effect.ALLOW.value, "reason": "WITHIN_LIMITS"},
    ]
}
POLICY_DOCUMENT: Final = {
    "document": {
        "type": "object",
        "description": "A policy as JSON: whole (`kind: Policy`) or a bare spec.",
    },
    "source": {"type": "string", "minLength": 1, "description": "The policy as YAML or JSON text."},
}

CREATE_WORKFLOW: Final = shape(
    {"workflow_id": SLUG, "name": NAME, "spec": WORKFLOW_SPEC},
    required=("workflow_id", "spec"),
    example={"workflow_id": "payment_run", "name": "Payment run", "spec": PAYMENT_RUN},
)
ADD_WORKFLOW_VERSION: Final = shape(
    {"name": NAME, "spec": WORKFLOW_SPEC}, required=("spec",), example={"spec": PAYMENT_RUN}
)
CREATE_CHANNEL: Final = shape(
    {"channel_id": SLUG, "name": NAME},
    required=("channel_id",),
    example={"channel_id": "web_main", "name": "Web form"},
)
CREATE_POLICY: Final = shape(
    {"policy_id": SLUG, **POLICY_DOCUMENT}, example={"policy_id": "payments", "document": PAYMENTS}
)
SEND_DOCUMENT: Final = shape(POLICY_DOCUMENT, example={"document": PAYMENTS})
PUBLISH_VERSION: Final = shape(
    {
        "applies_to_open": {
            "type": "boolean",
            "default": False,
            "description": "Also re-evaluate open steps of earlier versions of this policy.",
        },
        "emergency": {
            "type": "object",
            "properties": {
                "reason": {"type": "string", "minLength": MIN_REASON, "maxLength": MAX_REASON},
                "lasts": {"type": "string", "description": "Time box, PT5M to P1D."},
            },
            "required": ["reason", "lasts"],
            "additionalProperties": False,
            "description": "Publish as one person. Only the console can: a token is refused (`step_up_required`).",
        },
    },
    example={"applies_to_open": False},
)
SCOPE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"tenant": {"const": True}, "pack": SLUG, "workflow": SLUG, "channel": SLUG, "group": SLUG},
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
    "description": f"Exactly one of {', '.join(SCOPE_KINDS)}; a group is a group of the requester.",
}
WINDOW: Final = {
    "starts_at": {**_INSTANT, "description": "Start, inclusive, RFC 3339 with offset; absent: no start."},
    "ends_at": {**_INSTANT, "description": "End, exclusive; absent: no end."},
}
ADD_OVERLAY: Final = shape(
    {"policy_id": SLUG, "scope": SCOPE, **WINDOW},
    required=("policy_id", "scope"),
    example={
        "policy_id": "payments",
        "scope": {"workflow": "payment_run"},
        "starts_at": "2026-12-24T00:00:00+01:00",
        "ends_at": "2027-01-02T00:00:00+01:00",
    },
)
