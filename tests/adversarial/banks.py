"""Two banks at one receiver: one deduplicates by Idempotency-Key, so its actions may be repeated; the other does
not."""

from __future__ import annotations

import json
from typing import Any, Final

KEEPS: Final = "int_keeps"
FORGETS: Final = "int_forgets"


def bank_documents(receiver_url: str, **changes: Any) -> str:
    """Return both integrations as YAML. `changes` apply to both specs."""
    banks = (_bank(KEEPS, receiver_url, **changes), _bank(FORGETS, receiver_url, idempotent=False, **changes))
    return "\n---\n".join(json.dumps(bank) for bank in banks)


def _bank(slug: str, receiver_url: str, **changes: Any) -> dict[str, Any]:
    pay = {
        "method": "POST",
        "path": "/pay/${item.payload.vendor}",
        "body": {"amount": "${item.payload.amount_minor}", "reference": "${item.id}"},
        "resolves": True,
    }
    spec = {
        "connector": "http",
        "base_url": f"{receiver_url}/{slug}",
        "idempotent": True,
        "timeout": "PT10S",
        "retry": {"attempts": 10, "backoff": 1, "max_backoff": "PT2S"},
        "actions": {"pay": pay},
        **changes,
    }
    return {"kind": "Integration", "id": slug, "spec": spec}
