"""Resources of simulations, replays and shadows."""

from __future__ import annotations

from typing import Any, Final

from policies.api.resources.policies import SCOPE
from policies.deciding.decide import errors_json, trace_of, versions_json
from policies.language.approvals import ApprovalRule, to_json
from policies.language.rules import Effect
from policies.lifecycle import ReplayStatus, ShadowStatus
from policies.replay.request import Against
from threada_site.api.resources.field_types import (
    BOOLEAN,
    CANONICAL_SHA256,
    INSTANT,
    INTEGER,
    MAYBE_INSTANT,
    MAYBE_OBJECT,
    MAYBE_TEXT,
    OBJECT,
    OBJECTS,
    SLUG,
    TEXT,
    TEXTS,
    choice,
    inline,
    maybe_public_id,
    public_id,
)
from threada_site.api.resources.resource import FieldType, Resource, field, given
from threada_site.kernel import ids

_REASON_CODES: Final = FieldType(TEXTS.schema, list)
_ERRORS: Final = FieldType(OBJECTS.schema, errors_json)
_TRACE: Final = FieldType(OBJECTS.schema, trace_of)
_ERRORS_ARE: Final = "Rules that failed; one is enough to deny."
_TRACE_IS: Final = "Evaluated, matched, failed and overridden rules."
_OUTCOME: Final = FieldType(choice(Effect).schema, str)


def _approvals(rule: ApprovalRule | None) -> Any:
    return to_json(rule) if rule else None


SIMULATION: Final = Resource(
    "PolicySimulation",
    field("outcome", _OUTCOME, "verdict.outcome"),
    field("reason_codes", _REASON_CODES, "verdict.reason_codes"),
    field(
        "applies",
        BOOLEAN,
        description="True if an overlay binds the policy to the case. If not, the outcome is the one without it.",
    ),
    field("matched", OBJECTS, description="The deciding rules."),
    field("errors", _ERRORS, "verdict", description=_ERRORS_ARE),
    field(
        "approvals",
        FieldType(MAYBE_OBJECT.schema, _approvals),
        "verdict.approvals",
        description="The required approvals.",
    ),
    field("trace", _TRACE, "verdict", description=_TRACE_IS),
    field(
        "versions",
        FieldType(OBJECTS.schema, versions_json),
        "rulebook",
        description="Evaluated versions with their scopes.",
    ),
    field(
        "alone",
        inline(
            field("outcome", _OUTCOME),
            field("reason_codes", _REASON_CODES),
            field("errors", _ERRORS, lambda verdict: verdict, description=_ERRORS_ARE),
            field("trace", _TRACE, lambda verdict: verdict, description=_TRACE_IS),
        ),
        description="The answer of this version without other policies.",
    ),
    field("facts", OBJECT, description="All facts, defaults included."),
    field("engine", TEXT, "verdict.engine"),
    field("duration_us", INTEGER, "verdict.duration_us"),
)

_COUNTS: Final = ("replayed", "flipped", "not_replayable")
_COUNTS_BY_NAME: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": {"type": "object", "additionalProperties": {"type": "integer"}},
}
_SIDE: Final = {"type": "object", "properties": {"effect": TEXT.schema, "reasons": TEXTS.schema}}


def _without_counts(summary: dict[str, Any]) -> dict[str, Any]:
    """Return the summary without the counts that are fields of their own."""
    return {name: value for name, value in summary.items() if name not in _COUNTS}


_SUMMARY: Final = FieldType(
    {
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
                        "count": INTEGER.schema,
                        "examples": TEXTS.schema,
                    },
                },
            },
            "other_flips": INTEGER.schema,
            "approvals": {
                "type": "object",
                "description": "Cases in which an approval appears, vanishes or changes.",
                "additionalProperties": INTEGER.schema,
            },
            "people": {"type": "object", "additionalProperties": INTEGER.schema},
            "workflows": _COUNTS_BY_NAME,
            "channels": _COUNTS_BY_NAME,
            "not_replayable_because": _COUNTS_BY_NAME,
        },
    },
    _without_counts,
)
_FLIPPED: Final = "Decisions with another effect or other reasons."

POLICY_REPLAY: Final = Resource(
    "PolicyReplay",
    field("policy_replay_id", public_id(ids.POLICY_REPLAY), "id"),
    field("policy_id", SLUG, "policy.slug"),
    field(
        "policy_version_id",
        maybe_public_id(ids.POLICY_VERSION),
        description="Null if the replayed document is not stored.",
    ),
    field("document_sha256", CANONICAL_SHA256),
    field("scopes", FieldType({"type": ["array", "null"], "items": SCOPE.schema})),
    field("against", choice(Against)),
    field(
        "baseline_version_id",
        maybe_public_id(ids.POLICY_VERSION),
        "baseline_id",
        description="The baseline; null: the recorded decisions.",
    ),
    field("created_after", INSTANT),
    field("created_before", INSTANT),
    field("status", choice(ReplayStatus)),
    field("percent", INTEGER, minimum=0, maximum=100),
    field("replayed", INTEGER, description="Decisions that were replayed."),
    field("flipped", INTEGER, description=_FLIPPED),
    field("not_replayable", INTEGER, description="Decisions whose record is incomplete. Never guessed."),
    field("summary", _SUMMARY),
    field("failure", MAYBE_TEXT),
    field("requested_by", maybe_public_id(ids.PRINCIPAL)),
    field("created_at", INSTANT),
    field("finished_at", MAYBE_INSTANT),
)
REPLAY_REPORT: Final = Resource(
    "PolicyReplayReport",
    *POLICY_REPLAY.fields,
    field("document", OBJECT),
    given("flips", OBJECTS, description="Every decision with another effect or other reasons."),
    given("other_approvals", OBJECTS, description="Other decisions whose approval changes."),
    given("not_replayable_decisions", OBJECTS, description="Decisions that are not replayable, with reason."),
)
POLICY_SHADOW: Final = Resource(
    "PolicyShadow",
    field("policy_shadow_id", public_id(ids.POLICY_SHADOW), "id"),
    field("policy_id", SLUG, "policy.slug"),
    field("policy_version_id", public_id(ids.POLICY_VERSION), "policy_version.id"),
    field("document_sha256", CANONICAL_SHA256),
    field("status", choice(ShadowStatus)),
    field("compared", INTEGER, description="Compared live decisions."),
    field("flipped", INTEGER, description=_FLIPPED),
    field("not_replayable", INTEGER, description="Decisions whose record is incomplete."),
    field("failed", INTEGER, description="Comparisons that failed. The live decisions are unaffected."),
    field("summary", _SUMMARY),
    field("started_by", maybe_public_id(ids.PRINCIPAL)),
    field("created_at", INSTANT),
    field("ends_at", INSTANT),
    field("ended_at", MAYBE_INSTANT),
)
