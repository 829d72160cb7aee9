"""Facts that a caller supplies to evaluate a policy, in the format of policy tests. Pure.

Every fact but `item.workflow` has a default.
"""

from __future__ import annotations

from typing import Any, Final

from policies.language.facts import CONTEXT_FACTS, ITEM_FACTS
from threada_site.kernel.errors import InvalidRequest
from threada_site.kernel.json import schemas

FACTS_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Same format as in policy tests. `lists` are the lists in force.",
    "properties": {
        "item": {
            "type": "object",
            "properties": dict(ITEM_FACTS),
            "required": ["workflow"],
            "additionalProperties": False,
        },
        "ctx": {
            "type": "object",
            "properties": {name: schema for name, schema in CONTEXT_FACTS.items() if name != "now"},
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
