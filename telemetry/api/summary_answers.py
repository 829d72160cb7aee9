"""Response schema of `/telemetry/summary` for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from telemetry.summary.metrics import DIMENSIONS, EFFECTS, EXECUTION_ENDS, STEP_ENDS
from threada_site.api.operations import representation

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_INSTANT: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
_COUNT: Final[dict[str, Any]] = {"type": "integer", "minimum": 0}
_REASONS: Final[dict[str, Any]] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"reason_code": _TEXT, "count": _COUNT},
        "required": ["reason_code", "count"],
    },
}


def _counts(*labels: str) -> dict[str, Any]:
    return {"type": "object", "properties": dict.fromkeys(labels, _COUNT), "required": list(labels)}


METRICS: Final = representation(
    "TelemetryFigures",
    {
        "work_items_received": _COUNT,
        "policy_decisions": _counts(*EFFECTS) | {"description": "By effect."},
        "refusals": _REASONS | {"description": "Reasons of policy denials; one with two reasons counts at both."},
        "requests_refused": _REASONS,
        "decision_steps": _counts(*STEP_ENDS) | {"description": "Steps that ended, by status."},
        "decision_seconds": {
            "type": "object",
            "description": "How long steps were open that people approved or rejected; quantiles are 2 % off at most.",
            "properties": {
                "count": _COUNT,
                "p50": {"type": ["number", "null"]},
                "p95": {"type": ["number", "null"]},
            },
            "required": ["count", "p50", "p95"],
        },
        "automation_rate": {
            "type": ["number", "null"],
            "description": "Policy decisions that allowed or denied, as a share of those and the steps people decided.",
        },
        "executions": _counts(*EXECUTION_ENDS) | {"description": "By how they ended; a retried one counts again."},
        "execution_failures": _REASONS | {"description": "Failed and unknown outcomes, by class of failure."},
    },
)
SUMMARY: Final = representation(
    "TelemetrySummary",
    {
        "created_after": _INSTANT | {"description": "The window asked for, widened to whole days (UTC)."},
        "created_before": _INSTANT,
        "as_of": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "When the last counted receipt was written.",
        },
        "uncounted_receipts": _COUNT | {"description": "Sealed receipts that are not in the metrics yet."},
        "group_by": {"enum": [*DIMENSIONS, None]},
        "total": METRICS,
        "groups": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "key": {"type": "string", "description": "A day, an id, or empty where a receipt has none."},
                    "figures": METRICS,
                },
                "required": ["key", "figures"],
            },
        },
        "groups_left_out": _COUNT | {"description": "Groups beyond the 400 with the most work; the total has them."},
    },
)
