"""Facts that somebody writes by hand to ask a policy, in the form of a policy's own tests. Pure.

What is left out has its default; `item.workflow` alone has none.
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
    "description": "As a policy's tests give them. `lists` are those in force.",
    "properties": {
        "item": {
            "type": "object",
            "properties": {
                "id": _TEXT,
                "workflow": _TEXT,
                "channel": _TEXT,
                "payload": {"description": "It has to fit the workflow's schema."},
                "confidence": {"type": "number", "minimum": 0, "maximum": 1, "default": 1},
                "risk_flags": _WORDS,
                "requester": _TEXT,
                "requester_groups": {**_WORDS, "description": "Absent: those the requester is in."},
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
                "action": {**_TEXT, "description": "Asked at execute; empty at intake."},
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
    """`facts` itself, when it has that form. Raises `InvalidRequest`, with pointers that begin with `/facts`."""
    errors = schemas.field_errors(_VALIDATOR, facts, prefix="/facts")
    if errors:
        raise InvalidRequest("These are no facts. Mend what errors names.", errors=errors)
    checked: dict[str, Any] = facts
    return checked
