"""The gateway `/mcp/{integration}`: accepted tools of another MCP server, each call governed. Imports the SDK."""

from __future__ import annotations

from typing import Any, Final

import mcp_types as types
import orjson
from mcp.shared.exceptions import MCPError

from threada_site.kernel.waits import OFFER, RESUMED, WAITED, Offer, preferred_wait
from workitems.mcp.calls import Answer, Caller
from workitems.mcp.client_capabilities import knows_tasks
from workitems.mcp.server import caller_of, in_thread, new_server
from workitems.mcp.tasks import created_task, read_task
from workitems.mcp.tool_calls import CallTool, OfferedTools
from workitems.mcp.tool_results import call_result, execution_result

KEY: Final = "threada.dev/idempotency_key"
"""Key of `_meta` of a call: a key under which the call is made once."""
REQUESTER: Final = "threada.dev/requester"
"""Key of `_meta` of a call: the principal on whose behalf it is made."""
_WAIT_S: Final = 20
"""Seconds for which a call waits for its result, unless the client says otherwise with `Prefer: wait`."""
_LARGEST_MESSAGE: Final = 4_096
"""Bytes of the message that stands for a held request. A call with a larger one is not held."""
_INSTRUCTIONS: Final = (
    "The tools of another system, behind Threada. Policies decide about every call, and people approve some in the "
    "console. A pending result is no failure: tell people the console_url, and make the same call again later; it "
    "returns the result once there is one. You cannot approve."
)


async def _list_tools(ctx: Any, _params: Any) -> types.ListToolsResult:
    caller = caller_of(ctx)
    answer = await in_thread(lambda: caller.call(OfferedTools, "GET", _path(caller), integration_id=_slug(caller)))
    if answer.is_refusal:
        raise MCPError(types.INVALID_REQUEST, answer.body["detail"], answer.body)
    return types.ListToolsResult(tools=[_offered(tool) for tool in answer.body["tools"]])


def _offered(tool: dict[str, Any]) -> types.Tool:
    """Return a tool without its output schema: the result of a call can also say that it is pending."""
    hints = {f"{name}_hint": value for name, value in tool["annotations"].items()}
    return types.Tool(
        name=tool["name"],
        title=tool.get("title"),
        description=tool.get("description"),
        input_schema=tool["input_schema"],
        annotations=types.ToolAnnotations(**hints),
    )


async def _call_tool(ctx: Any, params: types.CallToolRequestParams) -> Any:
    caller = caller_of(ctx)
    answer = await in_thread(lambda: _called(params, caller, _sent_meta(ctx)))
    if not answer.is_refusal and knows_tasks(ctx):
        task = created_task(answer.body, caller)
        if task is not None:
            return task
    return call_result(answer, caller)


def _called(params: types.CallToolRequestParams, caller: Caller, meta: dict[str, Any]) -> Answer:
    """Call the view of the tool, with the offer of the web server to hold the request."""
    environ = caller.request.META
    body = {"tool": params.name, "arguments": params.arguments or {}}
    if isinstance(meta.get(REQUESTER), str):
        body["requester"] = meta[REQUESTER]
    preferred = preferred_wait(environ.get("HTTP_PREFER", ""))
    passed = {name: environ[name] for name in (OFFER, RESUMED, WAITED) if name in environ}
    message = _message_again(caller, meta)
    if len(message) > _LARGEST_MESSAGE:
        passed.pop(OFFER, None)  # the server would keep it while the request waits
    answer = caller.call(
        CallTool,
        "POST",
        _path(caller),
        body=body,
        key=meta[KEY] if isinstance(meta.get(KEY), str) else None,
        environment={**passed, "HTTP_PREFER": f"wait={_WAIT_S if preferred is None else preferred}"},
        integration_id=_slug(caller),
    )
    offer: Offer | None = environ.get(OFFER)
    if offer is not None and offer.watched is not None:
        offer.message = message
    return answer


def _message_again(caller: Caller, meta: dict[str, Any]) -> bytes:
    """Return the message that stands for this one when the request is run again: it has no arguments any more."""
    kept = {name: value for name, value in meta.items() if name.startswith("io.modelcontextprotocol/")}
    sent = caller.message
    params = {"name": sent["params"]["name"], "arguments": {}, "_meta": kept}
    return orjson.dumps({"jsonrpc": "2.0", "id": sent.get("id"), "method": sent["method"], "params": params})


def _read_task(task_id: str, caller: Caller) -> dict[str, Any]:
    return read_task(task_id, caller, execution_result)


def _sent_meta(ctx: Any) -> dict[str, Any]:
    meta = (ctx.params or {}).get("_meta")
    return meta if isinstance(meta, dict) else {}


def _path(caller: Caller) -> str:
    return f"/mcp/{_slug(caller)}"


def _slug(caller: Caller) -> str:
    assert caller.integration_id is not None  # noqa: S101 - this server is used for integrations only
    return caller.integration_id


SERVER: Final = new_server(
    "threada-gateway",
    instructions=_INSTRUCTIONS,
    on_list_tools=_list_tools,
    on_call_tool=_call_tool,
    read=_read_task,
)
