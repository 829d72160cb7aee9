"""Response schemas of simulations, replays and shadows, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from policies.api.shapes import SCOPE
from policies.language.rules import Effect
from policies.lifecycle import ReplayStatus, ShadowStatus
from policies.replay.request import Against
from threada_site.api.operations import representation
from threada_site.api.shapes import SLUG, id_schema
from threada_site.kernel import ids

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_MAYBE_TEXT: Final[dict[str, Any]] = {"type": ["string", "null"]}
_INSTANT: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
_MAYBE_INSTANT: Final[dict[str, Any]] = {"type": ["string", "null"], "format": "date-time"}
_SHA256: Final[dict[str, Any]] = {"type": "string", "description": "SHA-256 of its canonical JSON (RFC 8785)."}
_OBJECTS: Final[dict[str, Any]] = {"type": "array", "items": {"type": "object"}}

_ANSWER: Final[dict[str, Any]] = {
    "outcome": {"enum": [effect.value for effect in Effect]},
    "reason_codes": {"type": "array", "items": _TEXT},
    "errors": {**_OBJECTS, "description": "Rules that failed; one is enough to deny."},
    "trace": {**_OBJECTS, "description": "Evaluated, matched, failed and overridden rules."},
}
SIMULATION: Final = representation(
    "PolicySimulation",
    {
        **_ANSWER,
        "applies": {
            "type": "boolean",
            "description": "True if an overlay binds the policy to the case. If not, the outcome is the one without "
            "it.",
        },
        "matched": {**_OBJECTS, "description": "The deciding rules."},
        "approvals": {"type": ["object", "null"], "description": "The required approvals."},
        "versions": {**_OBJECTS, "description": "Evaluated versions with their scopes."},
        "alone": {
            "type": "object",
            "description": "The answer of this version without other policies.",
            "properties": _ANSWER,
            "required": list(_ANSWER),
        },
        "facts": {"type": "object", "description": "All facts, defaults included."},
        "engine": _TEXT,
        "duration_us": {"type": "integer"},
    },
)
_COUNTS_BY_NAME: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": {"type": "object", "additionalProperties": {"type": "integer"}},
}
_SIDE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"effect": _TEXT, "reasons": {"type": "array", "items": _TEXT}},
}
POLICY_REPLAY: Final = representation(
    "PolicyReplay",
    {
        "policy_replay_id": id_schema(ids.POLICY_REPLAY),
        "policy_id": SLUG,
        "policy_version_id": {**_MAYBE_TEXT, "description": "Null if the replayed document is not stored."},
        "document_sha256": _SHA256,
        "scopes": {"type": ["array", "null"], "items": SCOPE},
        "against": {"enum": [entry.value for entry in Against]},
        "baseline_version_id": {**_MAYBE_TEXT, "description": "The baseline; null: the recorded decisions."},
        "created_after": _INSTANT,
        "created_before": _INSTANT,
        "status": {"enum": [status.value for status in ReplayStatus]},
        "percent": {"type": "integer", "minimum": 0, "maximum": 100},
        "replayed": {"type": "integer", "description": "Decisions that were replayed."},
        "flipped": {"type": "integer", "description": "Decisions with another effect or other reasons."},
        "not_replayable": {"type": "integer", "description": "Decisions whose record is incomplete. Never guessed."},
        "summary": {
            "type": "object",
            "description": "Empty until the first decisions are replayed.",
            "properties": {
                "outcomes": {**_COUNTS_BY_NAME, "description": "Effect before → effect after → count."},
                "flips": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "from": _SIDE,
                            "to": _SIDE,
                            "count": {"type": "integer"},
                            "examples": {"type": "array", "items": _TEXT},
                        },
                    },
                },
                "other_flips": {"type": "integer"},
                "approvals": {
                    "type": "object",
                    "description": "Cases in which an approval appears, vanishes or changes.",
                    "additionalProperties": {"type": "integer"},
                },
                "people": {"type": "object", "additionalProperties": {"type": "integer"}},
                "workflows": _COUNTS_BY_NAME,
                "channels": _COUNTS_BY_NAME,
                "not_replayable_because": _COUNTS_BY_NAME,
            },
        },
        "failure": _MAYBE_TEXT,
        "requested_by": _MAYBE_TEXT,
        "created_at": _INSTANT,
        "finished_at": _MAYBE_INSTANT,
    },
)
POLICY_SHADOW: Final = representation(
    "PolicyShadow",
    {
        "policy_shadow_id": id_schema(ids.POLICY_SHADOW),
        "policy_id": SLUG,
        "policy_version_id": id_schema(ids.POLICY_VERSION),
        "document_sha256": _SHA256,
        "status": {"enum": [status.value for status in ShadowStatus]},
        "compared": {"type": "integer", "description": "Compared live decisions."},
        "flipped": {"type": "integer", "description": "Decisions with another effect or other reasons."},
        "not_replayable": {"type": "integer", "description": "Decisions whose record is incomplete."},
        "failed": {"type": "integer", "description": "Comparisons that failed. The live decisions are unaffected."},
        "summary": POLICY_REPLAY.schema["properties"]["summary"],
        "started_by": _MAYBE_TEXT,
        "created_at": _INSTANT,
        "ends_at": _INSTANT,
        "ended_at": _MAYBE_INSTANT,
    },
)
REPLAY_REPORT: Final = representation(
    "PolicyReplayReport",
    {
        **POLICY_REPLAY.schema["properties"],
        "document": {"type": "object"},
        "flips": {**_OBJECTS, "description": "Every decision with another effect or other reasons."},
        "other_approvals": {
            **_OBJECTS,
            "description": "Other decisions whose approval changes.",
        },
        "not_replayable_decisions": {
            **_OBJECTS,
            "description": "Decisions that are not replayable, with reason.",
        },
    },
)
