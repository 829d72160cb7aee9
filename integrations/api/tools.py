"""Endpoints of the tools of MCP servers: what was found, a new reading, and their acceptance by a person."""

from __future__ import annotations

from typing import Any, ClassVar, Final, NamedTuple

from rest_framework.response import Response

from integrations import selectors
from integrations.api.integration_tests import managed_integration
from integrations.api.resources import TOOL_LIST
from integrations.api.views import found_integration
from integrations.documents.mcp_actions import MCP
from integrations.models import Integration, Tool, ToolList
from integrations.tools.accepting import accept_tools
from integrations.tools.descriptions import MOST_TOOLS
from integrations.tools.reading import enqueue_reading
from integrations.tools.usable import tool_list_of, tools_of
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.shapes import EMPTY, shape
from threada_site.api.views import TenantView
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


class IntegrationTools(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation(
        "listTools",
        "List the tools of an MCP server",
        tag="Integrations",
        answers={200: TOOL_LIST},
        reasons=("invalid_request",),
    )
    def get(self, request: Any, integration_id: str) -> Response:
        """Return the tools that were found last, and the descriptions that people accepted."""
        integration = _of_mcp(found_integration(request, integration_id))
        if not selectors.shows_configuration(integration, ctx=request.auth):
            raise errors.PermissionDenied(
                "Reading the tools needs workitems:read on all cases, or a scope on the integration."
            )
        return Response(_represented(integration))


class ReadTools(TenantView):
    scopes: ClassVar = {"POST": Scope.INTEGRATIONS_MANAGE}

    @operation(
        "readTools",
        "Read the tools of an MCP server again",
        tag="Integrations",
        body=EMPTY,
        answers={202: TOOL_LIST},
        headers=("Retry-After",),
    )
    @idempotent
    def post(self, request: Any, integration_id: str) -> Response:
        """Queue a reading, and return the tools as they were found last. A job also reads them every five minutes.

        Two readings are at least 30 seconds apart.
        """
        EMPTY.check(request.data)
        integration = _of_mcp(managed_integration(request, integration_id))
        enqueue_reading(integration.tenant_id, integration.id)
        return Response(_represented(integration), status=202, headers={"Retry-After": "30"})


class AcceptTools(TenantView):
    scopes: ClassVar = {"POST": Scope.INTEGRATIONS_MANAGE}

    @operation(
        "acceptTools",
        "Accept tools of an MCP server",
        tag="Integrations",
        body=ACCEPT_TOOLS,
        answers={200: TOOL_LIST},
        reasons=("person_required", "vote_authentication_required", "conflict", "confirmation_required"),
    )
    @idempotent
    def post(self, request: Any, integration_id: str) -> Response:
        """Accept tools with the digests that a person has seen; all or nothing. Agents can call them from then on."""
        body = ACCEPT_TOOLS.check(request.data)
        integration = _of_mcp(managed_integration(request, integration_id))
        accept_tools(integration, {each["tool"]: each["sha256"] for each in body["tools"]}, ctx=request.auth)
        return Response(_represented(integration))


def _of_mcp(integration: Integration) -> Integration:
    if integration.connector != MCP:
        raise errors.InvalidRequest("Only integrations with the connector mcp have tools.")
    return integration


def _represented(integration: Integration) -> dict[str, Any]:
    return TOOL_LIST.represent(_Shown(integration, tool_list_of(integration), list(tools_of(integration))))
