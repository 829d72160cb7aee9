"""Endpoints of the tools of MCP servers: what was found, a new reading, and their acceptance by a person."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from rest_framework.response import Response

from integrations.api.integrations import managed_integration, shown_integration
from integrations.api.resources import TOOL_LIST
from integrations.documents.mcp_actions import MCP
from integrations.models import Integration, Tool, ToolList
from integrations.tools.accepting import accept_tools
from integrations.tools.descriptions import MOST_TOOLS
from integrations.tools.reading import enqueue_reading
from integrations.tools.usable import tool_list_of, tools_of
from threada_site.api.operations import operation
from threada_site.api.shapes import shape
from threada_site.api.viewsets import TenantViewSet, verb
from threada_site.kernel import errors
from threada_site.kernel.context import Scope

ACCEPT_TOOLS: Final = shape(
    {
        "tools": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_TOOLS,
            "description": "Tools with the digests that a person has seen.",
            "items": {
                "type": "object",
                "properties": {
                    "tool": {"type": "string", "minLength": 1, "maxLength": 128},
                    "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "found_sha256"},
                },
                "required": ["tool", "sha256"],
                "additionalProperties": False,
            },
        }
    },
    required=("tools",),
    example={"tools": [{"tool": "create_ticket", "sha256": "3f" * 32}]},
)


class _Shown(NamedTuple):
    integration: Integration
    reading: ToolList | None
    tools: list[Tool]


class ToolViewSet(TenantViewSet):
    tag = "Integrations"

    @operation(
        "listTools",
        "List the tools of an MCP server",
        scope=Scope.WORKITEMS_READ,
        answers={200: TOOL_LIST},
        reasons=("invalid_request",),
    )
    def list(self, request: Any, integration_id: str) -> Response:
        """Return the tools that were found last, and the descriptions that people accepted."""
        return Response(_represented(_of_mcp(shown_integration(request, integration_id, "the tools"))))

    @verb(
        "readTools",
        "Read the tools of an MCP server again",
        detail=False,
        scope=Scope.INTEGRATIONS_MANAGE,
        answers={202: TOOL_LIST},
        headers=("Retry-After",),
    )
    def read(self, request: Any, integration_id: str) -> Response:
        """Queue a reading, and return the tools as they were found last. A job also reads them every five minutes.

        Two readings are at least 30 seconds apart.
        """
        integration = _of_mcp(managed_integration(request, integration_id))
        enqueue_reading(integration.tenant_id, integration.id)
        return Response(_represented(integration), status=202, headers={"Retry-After": "30"})

    @verb(
        "acceptTools",
        "Accept tools of an MCP server",
        detail=False,
        scope=Scope.INTEGRATIONS_MANAGE,
        body=ACCEPT_TOOLS,
        answers={200: TOOL_LIST},
        reasons=("person_required", "vote_authentication_required", "conflict", "confirmation_required"),
    )
    def accept(self, request: Any, integration_id: str, body: dict[str, Any]) -> Response:
        """Accept tools with the digests that a person has seen; all or nothing. Agents can call them from then on."""
        integration = _of_mcp(managed_integration(request, integration_id))
        accept_tools(integration, {each["tool"]: each["sha256"] for each in body["tools"]}, ctx=request.auth)
        return Response(_represented(integration))


def _of_mcp(integration: Integration) -> Integration:
    if integration.connector != MCP:
        raise errors.InvalidRequest("Only integrations with the connector mcp have tools.")
    return integration


def _represented(integration: Integration) -> dict[str, Any]:
    return TOOL_LIST.represent(_Shown(integration, tool_list_of(integration), list(tools_of(integration))))
