"""Facts that a caller supplies to evaluate a policy, in the format of policy tests. Pure.

Every fact but `item.workflow` has a default.
"""

from __future__ import annotations

from typing import Any, Final

from policies.language.facts import Point
from threada_site.kernel.errors import InvalidRequest
from threada_site.kernel.json import schemas

_TEXT: Final = {"type": "string", "maxLength": 200}
_WORDS: Final = {"type": "array", "items": _TEXT, "maxItems": 200}

FACTS_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Same format as in policy tests. `lists` are the lists in force.",
    "properties": {
        "item": {
            "type": "object",
            "properties": {
                "id": _TEXT,
                "workflow": _TEXT,
                "channel": _TEXT,
                "payload": {"description": "Must match the payload schema of the workflow."},
                "confidence": {"type": "number", "minimum": 0, "maximum": 1, "default": 1},
                "risk_flags": _WORDS,
                "requester": _TEXT,
                "requester_groups": {**_WORDS, "description": "Absent: the current groups of the requester."},
                "data_class": _TEXT,
                "version": {"type": "integer", "minimum": 1},
            },
            "required": ["workflow"],
            "additionalProperties": False,
        },
        "ctx": {
            "type": "object",
            "properties": {
                "point": {"enum": [point.value for point in Point]},
                "action": {**_TEXT, "description": "Required at execute; empty at intake."},
                "integration": _TEXT,
                "actor": _TEXT,
                "actor_kind": {"enum": ["human", "service", "agent", "system"]},
                "roles": _WORDS,
            },
            "additionalProperties": False,
        },
        "input": {"type": "object"},
    },
    "required": ["item"],
    "additionalProperties": False,
}
_VALIDATOR: Final = schemas.validator(FACTS_SCHEMA)


def check_supplied_facts(facts: Any) -> dict[str, Any]:
    """Return `facts` if they match `FACTS_SCHEMA`. Raises `InvalidRequest` with pointers that start with `/facts`."""
    errors = schemas.field_errors(_VALIDATOR, facts, prefix="/facts")
    if errors:
        raise InvalidRequest("The facts are invalid. Fix the fields listed in errors.", errors=errors)
    checked: dict[str, Any] = facts
    return checked
