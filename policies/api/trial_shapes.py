"""Request schemas of simulations, replays and shadows."""

from __future__ import annotations

from typing import Final

from policies.api.shapes import SCOPE
from policies.language.supplied_facts import FACTS_SCHEMA
from policies.replay.request import Against
from threada_site.api.shapes import shape

SIMULATE: Final = shape(
    {"facts": FACTS_SCHEMA},
    required=("facts",),
    example={
        "facts": {
            "item": {"workflow": "payment_run", "payload": {"vendor": "Initech", "amount_minor": 2_500_000}},
            "ctx": {"action": "pay"},
        }
    },
)
_DATE_TIME: Final = {"type": "string", "format": "date-time", "maxLength": 40}
REPLAY: Final = shape(
    {
        "created_after": {**_DATE_TIME, "description": "Start of the time window, inclusive; default: the beginning."},
        "created_before": {**_DATE_TIME, "description": "End of the time window, exclusive; default: now."},
        "against": {
            "enum": [entry.value for entry in Against],
            "default": Against.IN_FORCE.value,
            "description": "`in_force`: compare with the version in force on the same facts. "
            "`recorded`: compare with the recorded decisions.",
        },
        "scopes": {
            "type": "array",
            "items": SCOPE,
            "maxItems": 100,
            "description": "Scopes that replace the scopes of the policy.",
        },
    },
    example={"created_after": "2026-01-01T00:00:00Z", "created_before": "2026-02-01T00:00:00Z"},
)
SHADOW: Final = shape(
    {"ends_at": {**_DATE_TIME, "description": "End of the shadow; at most 90 days ahead."}},
    required=("ends_at",),
    example={"ends_at": "2026-12-31T00:00:00Z"},
)
