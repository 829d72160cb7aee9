"""Request schemas of telemetry."""

from __future__ import annotations

from typing import Final

from telemetry.exports.formats import COMPRESSIONS, FORMATS
from threada_site.api.shapes import shape

_FILTER: Final = {"type": "string", "minLength": 1, "maxLength": 100}

CREATE_EXPORT: Final = shape(
    {
        "format": {"enum": list(FORMATS), "default": "ndjson"},
        "compression": {"enum": list(COMPRESSIONS), "default": "none"},
        "filters": {
            "type": "object",
            "properties": dict.fromkeys(
                (
                    "channel_id",
                    "workflow_id",
                    "status",
                    "policy_version_id",
                    "integration_id",
                    "work_item_id",
                    "principal_id",
                    "kind",
                ),
                _FILTER,
            ),
            "additionalProperties": False,
        },
        "created_after": {"type": "string", "format": "date-time", "maxLength": 40},
        "created_before": {"type": "string", "format": "date-time", "maxLength": 40},
    },
    example={
        "format": "ndjson",
        "filters": {"workflow_id": "policy_review"},
        "created_after": "2026-01-01T00:00:00Z",
        "created_before": "2026-02-01T00:00:00Z",
    },
)
