"""The facts that conditions read. They are always complete; only keys of the payload may be missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from threada_site.kernel.clock import rfc3339
from threada_site.kernel.json.strict import MAX_INTEGER

VARIABLES: Final = ("item", "ctx", "input", "lists")
"""Variables of conditions. Expressions in actions can use the first three."""

ITEM_FACTS: Final = (
    "id",
    "workflow",
    "channel",
    "payload",
    "confidence",
    "risk_flags",
    "requester",
    "requester_groups",
    "data_class",
    "version",
)
CONTEXT_FACTS: Final = ("point", "action", "integration", "actor", "actor_kind", "roles", "now")


class Point(StrEnum):
    """The point at which rules are evaluated: intake of a work item, or just before an action is executed on it."""

    INTAKE = "intake"
    EXECUTE = "execute"


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
