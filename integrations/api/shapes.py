"""Request schemas of integrations."""

from __future__ import annotations

from typing import Final

from threada_site.api.shapes import SLUG, shape

PUT_INTEGRATION: Final = shape(
    {
        "integration_id": SLUG,
        "name": {"type": "string", "maxLength": 200},
        "spec": {"type": "object", "description": "As in a document of `kind: Integration`."},
    },
    required=("integration_id", "spec"),
    example={
        "integration_id": "int_bank",
        "name": "House bank",
        "spec": {
            "connector": "http",
            "base_url": "https://bank.example",
            "idempotent": True,
            "actions": {"pay": {"method": "POST", "path": "/payments", "body": {"vendor": "${item.payload.vendor}"}}},
        },
    },
)
