"""Request schemas of integrations."""

from __future__ import annotations

from typing import Final

from integrations.api.resources import INTEGRATION
from threada_site.api.conditional_requests.replacing import Replaceable
from threada_site.api.shapes import SLUG, shape

_BANK: Final = {
    "connector": "http",
    "base_url": "https://bank.example",
    "idempotent": True,
    "actions": {"pay": {"method": "POST", "path": "/payments", "body": {"vendor": "${item.payload.vendor}"}}},
}

REPLACE_INTEGRATION: Final = Replaceable(
    resource=INTEGRATION,
    identifier="integration_id",
    writable={
        "name": {"type": ["string", "null"], "maxLength": 200, "description": "Name for people. null: none."},
        "spec": {"type": "object", "description": "As in a document of `kind: Integration`."},
    },
    required=("spec",),
    patched={"spec": {"type": "object", "description": "Merged into the spec: null removes a member."}},
    example={"name": "House bank", "spec": _BANK},
    patch_example={"spec": {"idempotent": True, "limits": None}},
)
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
        "spec": _BANK,
    },
)
