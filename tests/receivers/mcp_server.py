"""An MCP server in its own process, with the official SDK: `python -m tests.receivers.mcp_server LOG_FILE CONTROL_FILE`.

Prints its port on one line, then serves `/mcp` and `/moved/mcp` on 127.0.0.1 until it is killed. `/older/mcp` knows only
the versions of the protocol with a handshake, keeps sessions and answers in streams; `/older/sessions` is their number.
Every call of a tool is appended to LOG_FILE as one JSON line `{"path": tool, "arguments", "authorization", "key"}`
before it runs; `key` is the header X-Api-Key.

CONTROL_FILE, which is read for every message, contains JSON as of `http_receiver`; this server reads `*` only, with
* `description`: that of the tool `look_up`
* `without`: names of tools that are not listed
* `more`: number of further tools; `named`: their names
* `schema`: input schema of the further tools
* `endless`: every page of the list names a next one
* `says`: text of every result
* `opens_none`: status with which `/older/mcp` refuses to open a session
* `delay_s`: wait before a call runs; `size`: bytes of its result

A call whose text begins with `endless` does not end.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LOG, CONTROL = Path(sys.argv[1]), Path(sys.argv[2])
TEXT: Final = {"type": "object", "properties": {"text": {"type": "string", "maxLength": 50}}, "required": ["text"]}
READS: Final = types.ToolAnnotations(read_only_hint=True)


def behaviour() -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(CONTROL.read_text(encoding="utf-8"))["*"]
    except OSError:
        found = {}
    return found


async def list_tools(_ctx: Any, params: Any) -> types.ListToolsResult:
    now = behaviour()
    tools = [
        types.Tool(
            name="look_up", description=now.get("description", "Looks a text up."), input_schema=TEXT, annotations=READS
        ),
        types.Tool(name="write", description="Writes a text.", input_schema=TEXT),
        types.Tool(name="bad name", input_schema=TEXT),
    ]
    further = [*(f"more_{number}" for number in range(now.get("more", 0))), *now.get("named", ())]
    tools += [types.Tool(name=name, input_schema=now.get("schema", TEXT)) for name in further]
    cursor = "again" if now.get("endless") else None
    listed = [tool for tool in tools if tool.name not in now.get("without", ())]
    return types.ListToolsResult(tools=[] if now.get("endless") else listed, next_cursor=cursor)


async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    now = behaviour()
    entry = {
        "path": params.name,
        "arguments": params.arguments,
        "authorization": ctx.request.headers.get("authorization"),
        "key": ctx.request.headers.get("x-api-key"),
    }
    write(json.dumps(entry) + "\n")
    is_endless = str((params.arguments or {}).get("text")).startswith("endless")
    await anyio.sleep(600 if is_endless else now.get("delay_s", 0))
    text = now.get("says", f"{params.name}: {(params.arguments or {}).get('text')}") + "x" * now.get("size", 0)
    return types.CallToolResult(
        content=[types.TextContent(text=text)],
        structured_content={"text": text},
        is_error=(params.arguments or {}).get("text") == "fail",
    )


def write(line: str) -> None:
    with LOG.open("a", encoding="utf-8") as log:
        log.write(line)


def reset(_request: Request) -> Response:
    LOG.unlink(missing_ok=True)
    return Response(status_code=204)


class Older:
    """Server of the versions before 2026-07-28, which refuses newer ones as its predecessors did."""

    def __init__(self) -> None:
        server: Server[Any] = Server("older", version="1", on_list_tools=list_tools, on_call_tool=call_tool)
        self.sessions = StreamableHTTPSessionManager(server, json_response=False, stateless=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = Request(scope).headers
        version, session = headers.get("mcp-protocol-version"), headers.get("mcp-session-id")
        if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            await Response("Unsupported protocol version", 400)(scope, receive, send)
        elif session is None and "opens_none" in behaviour():
            await Response(status_code=behaviour()["opens_none"])(scope, receive, send)
        else:
            await self.sessions.handle_request(scope, receive, send)

    def count(self, _request: Request) -> Response:
        return JSONResponse(len(self.sessions._server_instances))


def main() -> None:
    server: Server[Any] = Server("upstream", version="1", on_list_tools=list_tools, on_call_tool=call_tool)
    application = server.streamable_http_app(stateless_http=True, json_response=False)
    application.add_route("/", reset, methods=["RESET"])
    application.router.routes += [Route(f"/moved{r.path}", r.endpoint) for r in application.routes if r.path == "/mcp"]  # type: ignore[attr-defined]
    older, begun = Older(), application.router.lifespan_context
    application.router.routes += [Route("/older/mcp", older), Route("/older/sessions", older.count)]

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Any]:
        async with begun(app) as state, older.sessions.run():
            yield state

    application.router.lifespan_context = lifespan
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(application, log_level="error")).run([listening])


main()
