"""Response schemas of the endpoints of the rulebook, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from policies.api.shapes import SCOPE
from policies.language.rules import Effect
from policies.lifecycle import EmergencyStatus, PolicyVersionStatus
from telemetry.api.answers import RECEIPT_PROMISE
from threada_site.api.operations import representation
from threada_site.api.shapes import SLUG, id_schema
from threada_site.kernel import ids

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_MAYBE_TEXT: Final[dict[str, Any]] = {"type": ["string", "null"]}
_INSTANT: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
_MAYBE_INSTANT: Final[dict[str, Any]] = {"type": ["string", "null"], "format": "date-time"}
_SHA256: Final[dict[str, Any]] = {"type": "string", "description": "SHA-256 of its canonical JSON (RFC 8785)."}
_NUMBER: Final[dict[str, Any]] = {"type": "integer", "minimum": 1}
_OBJECTS: Final[dict[str, Any]] = {"type": "array", "items": {"type": "object"}}
_IN_LISTS: Final = "Omitted in lists."

WORKFLOW: Final = representation(
    "Workflow",
    {
        "workflow_id": SLUG,
        "name": _MAYBE_TEXT,
        "workflow_version_id": id_schema(ids.WORKFLOW_VERSION),
        "version": _NUMBER,
        "actions": {"type": "array", "items": _TEXT},
        "channel_required": {"type": "boolean"},
        "spec": {"type": "object", "description": _IN_LISTS},
        "created_at": _INSTANT,
    },
    optional=("spec",),
)
WORKFLOW_VERSION: Final = representation(
    "WorkflowVersion",
    {
        "workflow_id": SLUG,
        "workflow_version_id": id_schema(ids.WORKFLOW_VERSION),
        "version": _NUMBER,
        "spec_sha256": _SHA256,
        "revision": {**_MAYBE_TEXT, "description": "Revision of the files it was applied from."},
        "spec": {"type": "object", "description": _IN_LISTS},
        "created_by": _MAYBE_TEXT,
        "created_at": _INSTANT,
    },
    optional=("spec",),
)
CHANNEL: Final = representation("Channel", {"channel_id": SLUG, "name": _MAYBE_TEXT, "created_at": _INSTANT})
_EMERGENCY: Final = {
    "type": ["object", "null"],
    "description": "Emergency publication by one person; `open` until a second person confirms it. Null: none.",
    "properties": {
        "status": {"enum": [status.value for status in EmergencyStatus]},
        "reason": _TEXT,
        "published_by": _TEXT,
        "published_at": _INSTANT,
        "ends_at": _INSTANT,
        "closed_by": _MAYBE_TEXT,
        "closed_at": _MAYBE_INSTANT,
    },
    "required": ["status", "reason", "published_by", "published_at", "ends_at", "closed_by", "closed_at"],
}
POLICY: Final = representation(
    "Policy",
    {
        "policy_id": SLUG,
        "policy_version_id": {**_MAYBE_TEXT, "description": "The version in force; null: none, so the policy denies."},
        "version": {"type": ["integer", "null"]},
        "published_at": _MAYBE_INSTANT,
        "emergency": _EMERGENCY,
        "created_at": _INSTANT,
    },
)
POLICY_VERSION: Final = representation(
    "PolicyVersion",
    {
        "policy_id": SLUG,
        "policy_version_id": id_schema(ids.POLICY_VERSION),
        "version": _NUMBER,
        "status": {"enum": [status.value for status in PolicyVersionStatus]},
        "in_force": {"type": "boolean"},
        "document_sha256": _SHA256,
        "revision": {**_MAYBE_TEXT, "description": "Revision of the files it was applied from."},
        "document": {"type": "object", "description": _IN_LISTS},
        "created_by": _MAYBE_TEXT,
        "written_by": {"type": "array", "items": _TEXT, "description": "Principals who created or edited it."},
        "created_at": _INSTANT,
        "emergency": _EMERGENCY,
        "published_by": _MAYBE_TEXT,
        "published_at": _MAYBE_INSTANT,
        "retired_by": _MAYBE_TEXT,
        "retired_at": _MAYBE_INSTANT,
    },
    optional=("document",),
)
PUBLISHED_VERSION: Final = representation(
    "PublishedVersion",
    {**POLICY_VERSION.schema["properties"], "receipt_promise": RECEIPT_PROMISE},
    optional=("document",),
)
VALIDATION: Final = representation(
    "PolicyValidation",
    {
        "policy_version_id": id_schema(ids.POLICY_VERSION),
        "valid": {"type": "boolean"},
        "workflows": {
            "type": "array",
            "items": _TEXT,
            "description": "Workflows whose payload schemas the conditions were checked against.",
        },
        "errors": {**_OBJECTS, "description": "Pointers into the version's document."},
        "warnings": {**_OBJECTS, "description": "Rules that never decide. They do not prevent publication."},
    },
)
OVERLAY: Final = representation(
    "Overlay",
    {
        "overlay_id": id_schema(ids.OVERLAY),
        "policy_id": SLUG,
        "scope": SCOPE,
        "starts_at": _MAYBE_INSTANT,
        "ends_at": _MAYBE_INSTANT,
        "created_by": _MAYBE_TEXT,
        "created_at": _INSTANT,
    },
)
_ORIGIN: Final[dict[str, Any]] = {
    "policy_id": SLUG,
    "policy_version_id": {**_MAYBE_TEXT, "description": "The version in force; null: none, so the policy denies."},
    "version": {"type": ["integer", "null"]},
    "overlay_id": id_schema(ids.OVERLAY),
    "scope": SCOPE,
    "starts_at": _MAYBE_INSTANT,
    "ends_at": _MAYBE_INSTANT,
}
EFFECTIVE: Final = representation(
    "EffectivePolicies",
    {
        "workflow_id": SLUG,
        "channel_id": _MAYBE_TEXT,
        "group_ids": {"type": "array", "items": SLUG},
        "at": _INSTANT,
        "policies": {
            "type": "array",
            "description": "Widest scope first. If empty, or if a version is null: denied (`policy_missing`).",
            "items": {
                "type": "object",
                "properties": {**_ORIGIN, "rules": _OBJECTS},
                "required": [*_ORIGIN, "rules"],
            },
        },
        "rules": {
            "type": "array",
            "description": "All evaluated rules as in their documents, widest scope first.",
            "items": {
                "type": "object",
                "properties": {
                    "rule_id": SLUG,
                    "effect": {"enum": [effect.value for effect in Effect]},
                    "when": _TEXT,
                    "reason": _TEXT,
                    "overridable": {"type": "boolean"},
                    "origin": {"type": "object", "properties": _ORIGIN, "required": [*_ORIGIN]},
                    "overridden_by": {**_OBJECTS, "description": "Narrower rules that override it if both match."},
                    "overrides_in_vain": {
                        "type": "array",
                        "items": _TEXT,
                        "description": "Entries of `overrides` without effect: the rules are not evaluated here, "
                        "not overridable, or not wider.",
                    },
                },
                "required": [
                    "rule_id",
                    "effect",
                    "when",
                    "reason",
                    "overridable",
                    "origin",
                    "overridden_by",
                    "overrides_in_vain",
                ],
            },
        },
    },
)
POLICY_DECISION: Final = representation(
    "PolicyDecision",
    {
        "policy_decision_id": id_schema(ids.POLICY_DECISION),
        "work_item_id": id_schema(ids.WORK_ITEM),
        "execution_id": _MAYBE_TEXT,
        "point": {"enum": ["intake", "execute"]},
        "outcome": {"enum": [effect.value for effect in Effect]},
        "reason_codes": {"type": "array", "items": _TEXT},
        "policy_version_id": {**_MAYBE_TEXT, "description": "The version whose rule decided."},
        "matched": {**_OBJECTS, "description": "The deciding rules."},
        "errors": {**_OBJECTS, "description": "Rules that failed; one is enough to deny."},
        "versions": {**_OBJECTS, "description": "Every evaluated version with its scope."},
        "list_versions": {"type": "object"},
        "approvals": {"type": ["object", "null"]},
        "trace": _OBJECTS,
        "facts": {
            "type": "object",
            "description": "Facts of the decision; lists by version only.",
        },
        "facts_sha256": _SHA256,
        "explanation": {
            "type": "array",
            "items": _TEXT,
            "description": "Explanation in sentences, outcome first.",
        },
        "engine": _TEXT,
        "duration_us": {"type": "integer"},
        "created_at": _INSTANT,
    },
)
