"""What simulations, replays and shadows answer, as schemas for the OpenAPI document."""

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
    "errors": {**_OBJECTS, "description": "Rules that failed; any of them denies."},
    "trace": {**_OBJECTS, "description": "Which rules were looked at, and which held, failed or were loosened."},
}
SIMULATION: Final = representation(
    "PolicySimulation",
    {
        **_ANSWER,
        "applies": {
            "type": "boolean",
            "description": "Whether an overlay brings the policy to bear there. If not, the outcome is the one without "
            "it.",
        },
        "matched": {**_OBJECTS, "description": "The rules that decide."},
        "approvals": {"type": ["object", "null"], "description": "Who has to agree."},
        "versions": {**_OBJECTS, "description": "What was asked, and where each is bound."},
        "alone": {
            "type": "object",
            "description": "What this version says with no other policy beside it.",
            "properties": _ANSWER,
            "required": list(_ANSWER),
        },
        "facts": {"type": "object", "description": "All facts that were asked about, defaults included."},
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
        "policy_version_id": {**_MAYBE_TEXT, "description": "Null where a document was replayed that is not stored."},
        "document_sha256": _SHA256,
        "scopes": {"type": ["array", "null"], "items": SCOPE},
        "against": {"enum": [entry.value for entry in Against]},
        "baseline_version_id": {**_MAYBE_TEXT, "description": "What it is compared with; null: with what was decided."},
        "created_after": _INSTANT,
        "created_before": _INSTANT,
        "status": {"enum": [status.value for status in ReplayStatus]},
        "percent": {"type": "integer", "minimum": 0, "maximum": 100},
        "replayed": {"type": "integer", "description": "Decisions that were taken again."},
        "flipped": {"type": "integer", "description": "Those of another effect, or for other reasons."},
        "not_replayable": {"type": "integer", "description": "Those whose record does not suffice. Never guessed."},
        "summary": {
            "type": "object",
            "description": "Empty until the first decisions are replayed.",
            "properties": {
                "outcomes": {**_COUNTS_BY_NAME, "description": "Effect before → effect after → how many."},
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
                    "description": "Cases in which people are asked now, no longer, or others or more of them.",
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
        "compared": {"type": "integer", "description": "Live decisions that it was compared with."},
        "flipped": {"type": "integer", "description": "Those it would have taken otherwise, or for other reasons."},
        "not_replayable": {"type": "integer", "description": "Those whose facts do not suffice for it."},
        "failed": {"type": "integer", "description": "Comparisons that broke. What was decided stands."},
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
        "flips": {**_OBJECTS, "description": "Every decision that would be different."},
        "other_approvals": {**_OBJECTS, "description": "Decisions alike in effect and reasons that ask others."},
        "not_replayable_decisions": {**_OBJECTS, "description": "Every decision that cannot be replayed, and why."},
    },
)
