"""The facts that conditions read. They are always complete; only keys of the payload may be missing.

`ITEM_FACTS` and `CONTEXT_FACTS` are the only list of facts. The types of the checker, the facts of policy tests and of
simulations, and the facts of rule templates are derived from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import PrincipalKind
from threada_site.kernel.json.strict import MAX_INTEGER


class Point(StrEnum):
    """The point at which rules are evaluated: intake of a work item, or just before an action is executed on it."""

    INTAKE = "intake"
    EXECUTE = "execute"


_TEXT: Final = {"type": "string", "maxLength": 200}
_TEXTS: Final = {"type": "array", "items": _TEXT, "maxItems": 200}

ITEM_FACTS: Final[Mapping[str, dict[str, Any]]] = {
    "id": {**_TEXT, "description": "Id of the work item."},
    "workflow": {**_TEXT, "description": "Workflow of the work item."},
    "channel": {**_TEXT, "description": "Channel that the request came through; empty if it names none."},
    "payload": {"description": "Must match the payload schema of the workflow."},
    "confidence": {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "default": 1,
        "description": "Confidence of the requester in the request.",
    },
    "risk_flags": {**_TEXTS, "description": "Risks that the requester names."},
    "requester": {**_TEXT, "description": "Id of the principal that made the request."},
    "requester_groups": {**_TEXTS, "description": "Absent: the current groups of the requester."},
    "data_class": {**_TEXT, "default": "internal", "description": "Data class of the work item."},
    "version": {"type": "integer", "minimum": 1, "description": "Version of the work item."},
}
"""JSON Schema of each fact in `item`."""

CONTEXT_FACTS: Final[Mapping[str, dict[str, Any]]] = {
    "point": {
        "type": "string",
        "enum": [point.value for point in Point],
        "description": "Where the rules are evaluated.",
    },
    "action": {**_TEXT, "description": "Required at execute; empty at intake."},
    "integration": {**_TEXT, "description": "Integration of the action; empty at intake."},
    "actor": {**_TEXT, "description": "Id of the principal that acts."},
    "actor_kind": {
        "type": "string",
        "enum": [*(kind.value for kind in PrincipalKind), "system"],
        "description": "Kind of the principal that acts.",
    },
    "roles": {**_TEXTS, "description": "Roles of the principal that acts."},
    "now": {**_TEXT, "description": "Time of the decision, RFC 3339 in UTC."},
}
"""JSON Schema of each fact in `ctx`."""

FACTS: Final = {"item": ITEM_FACTS, "ctx": CONTEXT_FACTS}
VARIABLES: Final = ("item", "ctx", "input", "lists")
"""Variables of conditions. Expressions in actions can use the first three."""


def build_facts(
    *,
    point: Point | str,
    now: datetime,
    item_id: str = "",
    workflow: str = "",
    channel: str | None = None,
    payload: Any = None,
    confidence: float | None = None,
    risk_flags: Sequence[str] = (),
    requester: str = "",
    requester_groups: Sequence[str] = (),
    data_class: str = "internal",
    version: int = 1,
    action: str = "",
    integration: str = "",
    actor: str = "",
    actor_kind: str = "human",
    roles: Sequence[str] = (),
    input: Any = None,  # noqa: A002 - the fact's name in the rule language
    lists: Mapping[str, Sequence[Any]] | None = None,
) -> dict[str, Any]:
    """Return all facts as I-JSON. `payload`, `input` and `lists` must be I-JSON already.

    Defaults: confidence 1.0, channel "", payload {} and input {}. In payload and input, 5.0 becomes 5: JSON allows
    both spellings, storage and canonical form convert between them, and a rule must not depend on the spelling.
    """
    return {
        "item": {
            "id": item_id,
            "workflow": workflow,
            "channel": channel or "",
            "payload": {} if payload is None else _settled(payload),
            "confidence": 1.0 if confidence is None else float(confidence),
            "risk_flags": list(risk_flags),
            "requester": requester,
            "requester_groups": sorted(requester_groups),
            "data_class": data_class,
            "version": version,
        },
        "ctx": {
            "point": str(point),
            "action": action,
            "integration": integration,
            "actor": actor,
            "actor_kind": actor_kind,
            "roles": sorted(roles),
            "now": rfc3339(now),
        },
        "input": {} if input is None else _settled(input),
        "lists": {name: list(items) for name, items in (lists or {}).items()},
    }


def _settled(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= MAX_INTEGER else value
    if isinstance(value, dict):
        return {key: _settled(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_settled(child) for child in value]
    return value
