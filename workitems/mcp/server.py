"""The SDK's server with Threada's tools, and one exchange with it. Imports the SDK, which takes 28 MB."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final

import anyio
import mcp_types as types
import structlog
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from threada_site.api.openapi.version import API_VERSION
from workitems.mcp import thread_loop
from workitems.mcp.calls import Caller, CallerRefused
from workitems.mcp.client_capabilities import TASKS, can_ask_people, knows_tasks
from workitems.mcp.inputs import Inputs
from workitems.mcp.results import tool_result
from workitems.mcp.tasks import (
    TaskParams,
    cancel_task,
    created_task,
    read_task,
    update_task,
)
from workitems.mcp.tools import TOOLS, Tool

CALLER: Final = "threada.caller"
"""Key of the ASGI scope: the `Caller` of the request."""
_INSTRUCTIONS: Final = (
    "Threada controls actions: submit a work item, then request actions on it. Policies decide, and people approve in "
    "the console. You cannot approve. If an action awaits approval, tell people the console_url and ask again later: "
    "a call with the same arguments returns the same execution. Refusals say in detail what to do."
)
_HEADERS: Final = ("accept", "content-type")

type Handler = Callable[[Any, Any], Any]
type Work = Callable[[str, Caller], dict[str, Any]]

log = structlog.get_logger("threada.mcp")


def exchange(body: bytes, caller: Caller, server: Server[Any] | None = None) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the SDK's answer to a message. Tools run in the calling thread.

    `server`: the tools that are offered; None: Threada's own.
    """
    return thread_loop.run(_exchange(body, caller, server or _server))


async def _exchange(body: bytes, caller: Caller, server: Server[Any]) -> tuple[int, dict[str, str], bytes]:
    manager = StreamableHTTPSessionManager(
        server, json_response=True, stateless=True, max_request_body_size=max(len(body), 1)
    )
    answer: dict[str, Any] = {"status": 500, "headers": []}
    parts: list[bytes] = []
    is_read = False

    async def receive() -> dict[str, Any]:
        nonlocal is_read
        if is_read:
            await anyio.sleep_forever()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer.update(message)
        else:
            parts.append(message.get("body", b""))

    async with manager.run():
        await manager.handle_request(_scope(caller), receive, send)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer["headers"]}
    return answer["status"], headers, b"".join(parts)


def _scope(caller: Caller) -> dict[str, Any]:
    sent: Mapping[str, str] = caller.request.headers
    headers = [(name.lower(), value) for name, value in sent.items() if _is_of_the_protocol(name.lower())]
    if not sent.get("Accept"):
        headers.append(("accept", "*/*"))
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/mcp",
        "raw_path": b"/mcp",
        "query_string": b"",
        "headers": [(name.encode("latin-1"), value.encode("utf-8", "replace")) for name, value in headers],
        CALLER: caller,
    }


def _is_of_the_protocol(name: str) -> bool:
    return name in _HEADERS or name.startswith("mcp-")


async def _list_tools(_ctx: Any, _params: Any) -> types.ListToolsResult:
    return types.ListToolsResult(tools=[_described(tool) for tool in TOOLS.values()])


def _described(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.arguments.schema,
        annotations=types.ToolAnnotations(
            title=tool.title,
            read_only_hint=tool.only_reads,
            destructive_hint=tool.is_final,
            idempotent_hint=True,
            open_world_hint=tool.is_final,
        ),
    )


async def _call_tool(ctx: Any, params: types.CallToolRequestParams) -> Any:
    tool = TOOLS.get(params.name)
    if tool is None:
        raise MCPError(types.INVALID_PARAMS, f"There is no tool {params.name[:64]!r}. See tools/list.")
    caller = caller_of(ctx)
    inputs = Inputs(can_ask=can_ask_people(ctx), answers=params.input_responses or {})
    result = await in_thread(lambda: tool_result(tool, params.arguments or {}, inputs, caller))
    if tool.is_final and isinstance(result, types.CallToolResult) and not result.is_error and knows_tasks(ctx):
        return created_task(result.structured_content, caller) or result
    return result


def new_server(
    name: str, *, instructions: str, on_list_tools: Handler, on_call_tool: Handler, read: Work
) -> Server[Any]:
    """Return a server with tools and the Tasks extension. `read` returns the state of a task."""
    server: Server[Any] = Server(
        name,
        version=API_VERSION,
        title="Threada",
        instructions=instructions,
        on_list_tools=on_list_tools,
        on_call_tool=on_call_tool,
        get_tool_input_schema=lambda _name: None,  # else each call runs on_list_tools, to validate headers of arguments
    )
    server.extensions[TASKS] = {}
    for method, work in (("get", read), ("cancel", cancel_task), ("update", update_task)):
        server.add_request_handler(f"tasks/{method}", TaskParams, _task_handler(work))
    return server


def _task_handler(work: Work) -> Callable[[Any, TaskParams], Any]:
    async def handle(ctx: Any, params: TaskParams) -> dict[str, Any]:
        if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            raise MCPError(types.METHOD_NOT_FOUND, f"{ctx.method} needs a protocol version since 2026-07-28.")
        caller = caller_of(ctx)
        return await in_thread(lambda: work(params.task_id, caller))

    return handle


async def in_thread[Result](work: Callable[[], Result]) -> Result:
    """Run `work` in the thread of the request. If a view refuses the caller, its response is the answer."""
    try:
        return await thread_loop.call_outside(work)
    except CallerRefused:
        raise MCPError(types.INTERNAL_ERROR, "The caller was refused.") from None


def caller_of(ctx: Any) -> Caller:
    """Return the caller of the request that a handler answers."""
    caller: Caller = ctx.request.scope[CALLER]
    return caller


_server: Final = new_server(
    "threada", instructions=_INSTRUCTIONS, on_list_tools=_list_tools, on_call_tool=_call_tool, read=read_task
)
