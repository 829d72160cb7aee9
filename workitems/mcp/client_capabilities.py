"""Capabilities that the client of a request declares. Older protocol versions declare none of these per request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import mcp_types as types
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

TASKS: Final = "io.modelcontextprotocol/tasks"


def knows_tasks(ctx: Any) -> bool:
    """Return True if the client takes a task as the result of a tool."""
    return TASKS in _member(_capabilities(ctx), "extensions")


def can_ask_people(ctx: Any) -> bool:
    """Return True if the client can ask a person to fill in a form."""
    capabilities = _capabilities(ctx)
    declared = _member(capabilities, "elicitation")
    return isinstance(capabilities.get("elicitation"), Mapping) and (not declared or "form" in declared)


def _capabilities(ctx: Any) -> Mapping[str, Any]:
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return {}
    return _member(_member(ctx.params or {}, "_meta"), types.CLIENT_CAPABILITIES_META_KEY)


def _member(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}
