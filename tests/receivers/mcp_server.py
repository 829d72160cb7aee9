"""An MCP server in its own process, with the official SDK: `python -m tests.receivers.mcp_server LOG_FILE CONTROL_FILE`.

Prints its port on one line, then serves `/mcp` and `/moved/mcp` on 127.0.0.1 until it is killed. Every call of a tool is appended to
LOG_FILE as one JSON line `{"path": tool, "arguments", "authorization"}` before it runs.

CONTROL_FILE, which is read for every message, contains JSON as of `http_receiver`; this server reads `*` only, with
* `description`: that of the tool `look_up`
* `without`: names of tools that are not listed
* `more`: number of further tools; `named`: their names
* `schema`: input schema of the further tools
* `endless`: every page of the list names a next one
* `says`: text of every result
* `delay_s`: wait before a call runs; `size`: bytes of its result
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any, Final

import anyio
import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from starlette.requests import Request
from starlette.responses import Response
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
    }
    write(json.dumps(entry) + "\n")
    await anyio.sleep(now.get("delay_s", 0))
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


def main() -> None:
    server: Server[Any] = Server("upstream", version="1", on_list_tools=list_tools, on_call_tool=call_tool)
    application = server.streamable_http_app(stateless_http=True, json_response=False)
    application.add_route("/", reset, methods=["RESET"])
    application.router.routes += [Route(f"/moved{r.path}", r.endpoint) for r in application.routes if r.path == "/mcp"]  # type: ignore[attr-defined]
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(application, log_level="error")).run([listening])


main()
