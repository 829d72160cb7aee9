"""Schemas of the request bodies of the case endpoints."""

from __future__ import annotations

from typing import Any, Final

from threada_site.api.shapes import SLUG, id_schema, shape
from threada_site.kernel import ids
from workitems.api.permits.shapes import PERMIT_TERMS
from workitems.conversation.files import MOST_FILES
from workitems.conversation.models import Audience
from workitems.steps.batch_limits import MOST_IN_A_BATCH

_TEXT: Final[dict[str, Any]] = {"type": "string", "minLength": 1, "maxLength": 4000}
_CITATION: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "string", "minLength": 1, "maxLength": 4000},
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 32,
            "description": "Location of the cited text: source, title, url, locator, quote, or other members.",
        },
    ]
}
_CITATIONS: Final[dict[str, Any]] = {"type": "array", "items": _CITATION, "maxItems": 200}

METADATA: Final[dict[str, Any]] = {
    "type": "object",
    "maxProperties": 50,
    "propertyNames": {"minLength": 1, "maxLength": 40, "pattern": "^[^=]+$"},
    "additionalProperties": {"type": "string", "maxLength": 500},
    "description": "Texts of your own system, by which lists filter: 50 at most. They are not encrypted and are kept "
    "as long as the work item: put nothing about people here.",
    "examples": [{"order": "4711"}],
}
CREATE_WORK_ITEM: Final = shape(
    {
        "workflow_id": SLUG,
        "channel_id": {**SLUG, "type": ["string", "null"]},
        "payload": {"type": "object", "description": "Valid under the payload schema of the workflow."},
        "requester": {
            "type": "string",
            "minLength": 1,
            "maxLength": 100,
            "description": "pr_… or the name of a principal.",
        },
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "risk_flags": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 64},
            "maxItems": 50,
            "uniqueItems": True,
        },
        "evidence": {
            "anyOf": [
                _CITATIONS,
                {
                    "type": "object",
                    "properties": {
                        "citations": _CITATIONS,
                        "retrieval_trace": {"type": ["object", "array"]},
                        "fallback_reason": {"type": "string", "minLength": 1, "maxLength": 1000},
                    },
                    "additionalProperties": False,
                },
            ]
        },
        "external_ref": {"type": "string", "maxLength": 255},
        "metadata": METADATA,
    },
    required=("workflow_id", "payload"),
    example={
        "workflow_id": "policy_review",
        "channel_id": "web_main",
        "payload": {"question": "May we share the vendor list with our auditor?", "department": "procurement"},
        "confidence": 0.92,
        "evidence": {"citations": [{"source": "handbook", "locator": "4.2"}]},
    },
)

EDIT_WORK_ITEM: Final = shape(
    {
        "payload": {
            "type": "object",
            "description": "Merged into the payload: null removes a member. The policies are evaluated again.",
        },
        "metadata": {
            "type": "object",
            "additionalProperties": {"type": ["string", "null"]},
            "description": "Merged into the metadata: null removes an entry. Approvals stay valid.",
            "examples": [{"order": "4711"}],
        },
    },
    example={"payload": {"question": "May we share the shortened vendor list?", "department": "procurement"}},
)
MERGED_METADATA: Final = shape({"metadata": METADATA}, required=("metadata",))
"""Metadata after a PATCH."""

_MARKDOWN: Final[dict[str, Any]] = {
    "type": "string",
    "minLength": 1,
    "description": "Markdown: emphasis, code, lists, quotes, links to http, https and mailto. At most 4000 characters. "
    "`@name` mentions a member.",
}
ADD_COMMENT: Final = shape(
    {
        "text": _MARKDOWN,
        "audience": {
            "enum": [audience.value for audience in Audience],
            "default": Audience.EVERYONE.value,
            "description": "`deciders`: hidden from the requester, the submitter and the owners of agents among them.",
        },
        "attachments": {
            "type": "array",
            "items": id_schema(ids.ATTACHMENT),
            "maxItems": MOST_FILES,
            "uniqueItems": True,
            "description": "Files that the caller has uploaded and not used.",
        },
    },
    required=("text",),
    example={"text": "The contract is *signed*. @fay please check the amount."},
)
UPLOAD_ATTACHMENT: Final = shape(
    {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "The file, with its name. Nothing else is in the form.",
        }
    },
    required=("file",),
    example={"file": "(the bytes of invoice.pdf)"},
)
EDIT_COMMENT: Final = shape(
    {"text": _MARKDOWN}, required=("text",), example={"text": "The contract is signed since Monday."}
)
_QUESTION: Final[dict[str, Any]] = {
    "type": "string",
    "minLength": 1,
    "description": "Text, in the Markdown of comments. At most 4000 characters.",
}
ASK_QUESTION: Final = shape(
    {"text": _QUESTION}, required=("text",), example={"text": "Which purchase order does this invoice belong to?"}
)
ANSWER_QUESTION: Final = shape({"text": _QUESTION}, required=("text",), example={"text": "PO 4711, of 3 March."})

CLOSE_WORK_ITEM: Final = shape({"reason": _TEXT}, example={"reason": "Duplicate request."})

EXECUTE_ACTION: Final = shape(
    {
        "work_item_id": {"type": "string", "maxLength": 64},
        "action_id": SLUG,
        "integration_id": SLUG,
        "input": {"type": "object", "maxProperties": 200},
    },
    required=("work_item_id", "action_id", "integration_id"),
    example={
        "work_item_id": "wi_01k9zq6w4ve9qtr1n5m2d3c4b5",
        "action_id": "request_approval",
        "integration_id": "int_workflow",
    },
)

RECONCILE_EXECUTION: Final = shape(
    {"outcome": {"enum": ["succeeded", "failed"]}, "reason": _TEXT},
    required=("outcome", "reason"),
    example={"outcome": "succeeded", "reason": "The bank's statement shows the payment."},
)

UNDO_EXECUTION: Final = shape(
    {"input": {"type": "object", "maxProperties": 200, "description": "Input of the undo action."}},
    example={"input": {}},
)

RETRY_DEAD_LETTERS: Final = shape(
    {
        "execution_ids": {
            "type": "array",
            "items": id_schema(ids.EXECUTION),
            "minItems": 1,
            "maxItems": 200,
            "uniqueItems": True,
            "description": "Executions to retry; absent: the oldest dead letters that match the other members.",
        },
        "workflow_id": SLUG,
        "integration_id": SLUG,
        "action_id": SLUG,
        "failure": {
            "type": "string",
            "minLength": 1,
            "maxLength": 32,
            "description": "Reason code of the failure.",
        },
        "limit": {"type": "integer", "minimum": 1, "maximum": 200},
    },
    example={"integration_id": "int_bank", "failure": "connection_refused", "limit": 100},
)

SET_FREEZE: Final = shape(
    {
        "scope": {
            "type": "object",
            "properties": {"workflow": SLUG, "integration": SLUG, "action": SLUG, "principal": SLUG},
            "additionalProperties": False,
            "description": "A workflow, an integration, an action of an integration, or an agent or service "
            "(`principal`, by name); {}: the whole tenant.",
        },
        "reason": {"type": "string", "minLength": 1, "maxLength": 1000},
    },
    required=("scope", "reason"),
    example={"scope": {}, "reason": "The bank reports payments that it should not have got."},
)
LIFT_FREEZE: Final = shape(
    {"reason": {"type": "string", "maxLength": 1000}}, example={"reason": "The bank has found the fault."}
)

AMEND_STEP: Final = shape(
    {
        "envelope_sha256": {
            "type": "string",
            "pattern": "^[0-9a-f]{64}$",
            "description": "SHA-256 of the current envelope.",
        },
        "input": {"type": "object", "maxProperties": 200, "description": "Replaces the action's input."},
        "payload": {"type": "object", "description": "Replaces the work item's payload."},
    },
    required=("envelope_sha256",),
    example={
        "envelope_sha256": "4f9c1f4a6a8d0b7e2c5d3f1e9b8a7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b",
        "payload": {"question": "May we share the vendor list without prices?", "department": "procurement"},
    },
)

CAST_BATCH_VOTES: Final = shape(
    {
        "decision": {"enum": ["approve", "reject"]},
        "reason_code": {"type": "string", "minLength": 1, "maxLength": 64},
        "comment": {"type": "string", "description": "At most 4000 characters."},
        "steps": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_IN_A_BATCH,
            "items": {
                "type": "object",
                "properties": {
                    "decision_step_id": id_schema(ids.DECISION_STEP),
                    "envelope_sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                },
                "required": ["decision_step_id", "envelope_sha256"],
                "additionalProperties": False,
            },
        },
    },
    required=("decision", "steps"),
    example={
        "decision": "approve",
        "comment": "The month's regular invoices.",
        "steps": [
            {
                "decision_step_id": "ds_01k9zq8b6xf0jt3s4v5w6x7y8z",
                "envelope_sha256": "4f9c1f4a6a8d0b7e2c5d3f1e9b8a7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b",
            }
        ],
    },
)

_TO: Final[dict[str, Any]] = {"type": "string", "minLength": 1, "maxLength": 150}
REASSIGN_STEP: Final = shape(
    {"to": {**_TO, "description": "pr_… or the name of a person who may decide the step."}, "reason": _TEXT},
    required=("to",),
    example={"to": "fay", "reason": "She knows the vendor."},
)
ESCALATE_STEP: Final = shape(
    {
        "to": {
            "type": "object",
            "properties": {"role": SLUG, "group": SLUG, "user": _TO},
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
            "description": "Added approvers; absent: those named by the rule. Others need workflow:manage.",
        },
        "reason": _TEXT,
    },
    example={"reason": "The vendor's offer ends at noon."},
)

_INSTANT: Final[dict[str, Any]] = {
    "type": "string",
    "format": "date-time",
    "maxLength": 40,
    "description": "RFC 3339 with an offset.",
}
DELEGATE: Final = shape(
    {
        "delegate": {**_TO, "description": "pr_… or the name of the delegate."},
        "delegator": {
            **_TO,
            "description": "The person out of office; absent: the caller. Proposing for others needs workflow:manage.",
        },
        "starts_at": {**_INSTANT, "description": "RFC 3339 with an offset; absent: now."},
        "ends_at": _INSTANT,
        "reason": {"type": "string", "maxLength": 500},
    },
    required=("delegate", "ends_at"),
    example={
        "delegate": "finn",
        "starts_at": "2026-07-06T00:00:00+02:00",
        "ends_at": "2026-07-25T00:00:00+02:00",
        "reason": "Holidays",
    },
)

CAST_VOTE: Final = shape(
    {
        "decision": {"enum": ["approve", "reject"]},
        "envelope_sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "reason_code": {"type": "string", "minLength": 1, "maxLength": 64},
        "comment": {"type": "string", "description": "At most 4000 characters."},
        "permit": {
            "type": "object",
            "properties": PERMIT_TERMS,
            "required": ["ends_at", "max_count", "principals"],
            "additionalProperties": False,
            "description": "Approves a bounded series too, within the `permit` of the rule. It takes effect when every "
            "required approver has approved the same terms.",
        },
    },
    required=("decision", "envelope_sha256"),
    example={
        "decision": "approve",
        "envelope_sha256": "4f9c1f4a6a8d0b7e2c5d3f1e9b8a7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b",
        "comment": "Matches the contract.",
    },
)
