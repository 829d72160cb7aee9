"""Schemas of the request bodies about permits."""

from __future__ import annotations

from typing import Any, Final

from policies.language.approvals.permits import MAX_USES, SUM_FIELD
from threada_site.api.shapes import id_schema, shape
from threada_site.kernel import ids
from threada_site.kernel.json.strict import MAX_INTEGER
from workitems.permits.terms import MOST_BOUNDS, MOST_PRINCIPALS

PERMIT_TERMS: Final[dict[str, Any]] = {
    "ends_at": {
        "type": "string",
        "format": "date-time",
        "maxLength": 40,
        "description": "RFC 3339 with an offset.",
        "examples": ["2026-12-01T12:00:00Z"],
    },
    "max_count": {"type": "integer", "minimum": 1, "maximum": MAX_USES, "description": "Largest number of uses."},
    "max_sum": {
        "type": "object",
        "properties": {
            "field": {"type": "string", "pattern": f"^{SUM_FIELD}$", "examples": ["input.amount"]},
            "at_most": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_INTEGER},
        },
        "required": ["field", "at_most"],
        "additionalProperties": False,
        "description": "Largest sum of a number in the facts of each use. Required where the rule limits the sum.",
    },
    "principals": {
        "type": "array",
        "items": id_schema(ids.PRINCIPAL),
        "minItems": 1,
        "maxItems": MOST_PRINCIPALS,
        "uniqueItems": True,
        "description": "Principals whose requests it covers.",
    },
    "bounds": {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": 4096},
        "maxItems": MOST_BOUNDS,
        "description": "CEL conditions over item, ctx and input. All must hold; an error counts as false.",
        "examples": [["input.currency == 'EUR'"]],
    },
}
NARROW_PERMIT: Final = shape(PERMIT_TERMS, minProperties=1, example={"max_count": 5})
APPROVE_PERMIT: Final = shape(
    {"sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "Digest of the approved terms."}},
    required=("sha256",),
    example={"sha256": "4f9c1f4a6a8d0b7e2c5d3f1e9b8a7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b"},
)
