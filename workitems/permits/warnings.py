"""Probable mistakes in the terms of permits."""

from __future__ import annotations

from typing import Final, NamedTuple

from integrations.tools.pins import CALL_WORKFLOW
from workitems.permits.terms import Terms

TOOL_FACT: Final = "item.payload.tool"


class PermitWarning(NamedTuple):
    """A code, and a sentence."""

    code: str
    detail: str


def covers_every_tool(terms: Terms) -> bool:
    """Return True if terms are for calls of tools and no bound reads the tool."""
    return terms.workflow == CALL_WORKFLOW and not any(TOOL_FACT in bound for bound in terms.bounds)


def warnings_of(terms: Terms) -> list[PermitWarning]:
    """Return the probable mistakes in terms."""
    if not covers_every_tool(terms):
        return []
    detail = f"No bound reads {TOOL_FACT}, so this permit covers every accepted tool."
    return [PermitWarning("covers_every_tool", detail)]
