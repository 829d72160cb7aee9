"""What the endpoints of integrations answer, as schemas for the OpenAPI document."""

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
