"""Tools in requests: only accepted ones, pinned by the digest of their description."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from integrations.attempts.failures import envelope_mismatch
from integrations.connectors.mcp import in_version
from integrations.documents import IntegrationDocument
from integrations.documents.mcp_actions import MCP
from integrations.models import Execution, Integration, Tool
from integrations.tools.usable import callable_tool, is_callable, version_spoken
from threada_site.kernel import errors
from threada_site.kernel.errors import FieldError

CALL_WORKFLOW: Final = "mcp_call"
"""Workflow of the calls at `/mcp/{integration}`. Its rules read the tool from the payload."""

type Validate = Callable[[Any, Any], list[FieldError]]
"""Returns the errors of a value against a JSON Schema, within limits of time: servers write schemas that multiply.
Raises `DocumentInvalid` for a schema that cannot be used."""


def facts_of(integration: Integration, tool: Tool) -> dict[str, Any]:
    """Return what the payload of a call says about the tool."""
    return {"integration": integration.slug, "tool": tool.name, "annotations": (tool.accepted or {})["annotations"]}


def with_pin(
    integration: Integration,
    document: IntegrationDocument,
    request: dict[str, Any],
    *,
    workflow: str,
    payload: Mapping[str, Any],
    validate: Validate,
) -> dict[str, Any]:
    """Return the request with the digest of the tool that it calls, in the version that its server speaks.

    It is unchanged if it calls no tool.

    `workflow` and `payload` are those of the work item. Raise `ToolNotAccepted`, `InvalidRequest` for arguments that do
    not match the accepted schema, and `Conflict` if the payload of a call says something else about the tool than its
    accepted description.
    """
    if document.connector != MCP:
        return request
    tool = callable_tool(integration, document, request["tool"]["name"])
    try:
        problems = validate((tool.accepted or {})["input_schema"], request["body"]["params"]["arguments"])
    except errors.DocumentInvalid as unusable:
        raise errors.InvalidRequest(
            f"The input schema of the tool cannot be used; who runs the server of {integration.slug} has to fix it.",
            errors=unusable.errors,
        ) from None
    if problems:
        raise errors.InvalidRequest("The arguments do not fit the tool. Fix the fields named.", errors=problems)
    facts = facts_of(integration, tool)
    if workflow == CALL_WORKFLOW and {name: payload.get(name) for name in facts} != facts:
        raise errors.Conflict(
            "The payload says something else about the tool than its accepted description. Call the tool at "
            f"/mcp/{integration.slug}, which fills it in."
        )
    pinned = {**request, "tool": {"name": tool.name, "sha256": tool.accepted_sha256}}
    return in_version(pinned, version_spoken(integration))


def check_pin(execution: Execution, document: IntegrationDocument, request: Mapping[str, Any]) -> None:
    """Raise `TransportFailure` (`envelope_mismatch`) unless the tool of the request can be called now, with the
    description that its envelope pins."""
    if document.connector != MCP:
        return
    name, sha256 = request["tool"]["name"], request["tool"]["sha256"]
    if not is_callable(name, sha256, execution=execution, base_url=document.base_url or ""):
        raise envelope_mismatch(
            f"The tool {name} is not what the envelope contains: its description changed, or is not accepted."
        )
