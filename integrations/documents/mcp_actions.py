"""Documents of the `mcp` connector: tools of another MCP server (Model Context Protocol, streamable HTTP).

connector: mcp
base_url: https://tools.example/mcp        # the address of the MCP server itself
auth: {scheme: bearer, secret: {stored: tools_token}}
actions:
  call_tool: {resolves: true}              # any accepted tool, as /mcp/{integration} calls it
  open_ticket:                             # one tool, for a workflow of its own
    tool: create_ticket
    arguments: {title: "${item.payload.title}"}

Without `tool` and `arguments`, an action takes both from the payload of the work item.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from integrations.documents import http_actions
from integrations.documents.auth_schemes import AUTH, read_auth
from integrations.documents.fields import Fields
from integrations.documents.grammar import Destination
from integrations.documents.schema import BASE_URL, filled_text, integration_schema
from integrations.documents.templates import Template

MCP: Final = "mcp"
_TOOL: Final = "${item.payload.tool}"
_ARGUMENTS: Final = "${item.payload.arguments}"


@dataclass(frozen=True, slots=True)
class McpCall:
    """The call of a tool, as templates."""

    tool: Template
    arguments: Template


class McpGrammar:
    schema = integration_schema(
        {"base_url": {**BASE_URL, "description": "Address of the MCP server."}, "auth": AUTH},
        required=("base_url",),
        action={
            "tool": filled_text(
                "Name of the tool, or one ${ … }.",
                default=_TOOL,
                examples=["create_ticket"],
            ),
            "arguments": {
                "type": ["object", "string"],
                "default": _ARGUMENTS,
                "description": "Arguments of the tool; strings of the form ${ … } are expressions.",
                "examples": [{"title": "${item.payload.title}"}],
            },
        },
        description="Tools of another MCP server. A tool is called only after a person accepted its description.",
    )

    def read_spec(self, spec: Fields) -> Destination:
        base_url, origin = http_actions.read_base_url(spec)
        return Destination(base_url=base_url, origin=origin, auth=read_auth(spec.object("auth"), origin))

    def read_call(self, slug: str, action: Fields, destination: Destination) -> McpCall:
        return McpCall(
            tool=action.template("tool", default=_TOOL), arguments=action.template("arguments", default=_ARGUMENTS)
        )
