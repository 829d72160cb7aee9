"""Response schemas of integrations for the OpenAPI document."""

from __future__ import annotations

from typing import Final

from threada_site.api.operations import representation
from threada_site.api.shapes import SLUG

_MAYBE_TEXT: Final = {"type": ["string", "null"]}

INTEGRATION: Final = representation(
    "Integration",
    {
        "integration_id": SLUG,
        "name": _MAYBE_TEXT,
        "connector": {"type": "string"},
        "integration_version_id": _MAYBE_TEXT,
        "version": {"type": ["integer", "null"]},
        "actions": {"type": "array", "items": {"type": "string"}},
        "spec": {"type": ["object", "null"]},
        "created_at": {"type": "string", "format": "date-time"},
    },
)
HEALTH: Final = representation(
    "IntegrationHealth",
    {
        "integration_id": SLUG,
        "state": {"enum": ["well", "failing", "resting", "probing", "frozen"]},
        "failures_in_a_row": {"type": "integer", "minimum": 0},
        "waits_until": {**_MAYBE_TEXT, "description": "The integration is not called before this time."},
        "waits_for": {"enum": ["concurrency", "rate", "breaker", None]},
        "running": {"type": "integer", "description": "Counted to 1,000."},
        "waiting": {"type": "integer", "description": "Counted to 1,000."},
        "succeeded": {"type": "integer", "description": "Among the tenant's last 500 executions; also the next two."},
        "failed": {"type": "integer"},
        "outcome_unknown": {"type": "integer"},
        "last_failure": _MAYBE_TEXT,
        "concurrency": {"type": ["integer", "null"], "description": "Configured limit."},
    },
)
PROBE: Final = representation(
    "IntegrationTest",
    {
        "integration_id": SLUG,
        "ok": {"type": "boolean"},
        "checks": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "check": {"type": "string"},
                    "ok": {"type": "boolean"},
                    "failure": _MAYBE_TEXT,
                    "detail": {"type": "string"},
                },
                "required": ["check", "ok", "failure", "detail"],
            },
        },
    },
)
