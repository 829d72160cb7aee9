"""Client of the MCP server: JSON-RPC messages through Django's test client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.client import Api

MODERN: Final = "2026-07-28"
TASKS: Final = "io.modelcontextprotocol/tasks"


class Agent:
    """`Agent(api).call("get_work_item", work_item_id=…)` returns the result of a tool."""

    path = "/mcp"

    def __init__(self, api: Api, **capabilities: Any) -> None:
        self.api = api
        self.capabilities = capabilities

    def send(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        environ: Mapping[str, Any] | None = None,
        **headers: str,
    ) -> Any:
        """Send a message of the protocol of 2026-07-28. Return Django's response.

        `environ`: what the web server adds to the environment of the request.
        """
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "agent", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
        }
        named = {"Mcp-Name": params["name"]} if params and "name" in params else {}
        message = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": method,
            "params": {**(params or {}), "_meta": {**meta, **(params or {}).get("_meta", {})}},
        }
        sent = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method, **named, **headers}
        self.api.client.defaults.update(environ or {})
        try:
            return self.api.post(self.path, message, headers={"Accept": "application/json, text/event-stream", **sent})
        finally:
            for name in environ or {}:
                del self.api.client.defaults[name]

    def result(self, method: str, **params: Any) -> dict[str, Any]:
        answer = self.send(method, params)
        assert answer.status_code == 200, answer.content
        result: dict[str, Any] = answer.json()["result"]
        return result

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Return the result of a tool: `structuredContent`, `isError`."""
        return self.result("tools/call", name=tool, arguments=arguments)

    def done(self, tool: str, **arguments: Any) -> Any:
        """Return the structured content of a call that succeeds."""
        result = self.call(tool, **arguments)
        assert not result["isError"], result
        return result["structuredContent"]

    def refused(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Return the problem document of a call that is refused."""
        result = self.call(tool, **arguments)
        assert result["isError"], result
        problem: dict[str, Any] = result["structuredContent"]
        return problem
