"""Results of governed tools, as their servers gave them; or what a call waits for."""

from __future__ import annotations

from typing import Any, Final

import mcp_types as types
import orjson
from pydantic import ValidationError

from integrations.lifecycle import ExecutionStatus
from workitems.mcp.calls import Answer, Caller
from workitems.mcp.results import REPEATED, as_result

EXECUTION: Final = "threada.dev/execution"
"""Key of `_meta`: ids and status of the execution that a result belongs to."""
TRUNCATED: Final = "threada.dev/truncated"
"""Key of `_meta`: True if the result was longer than Threada stores."""
_SHOWN: Final = ("execution_id", "work_item_id", "status", "failure")
_OPEN: Final = frozenset({ExecutionStatus.AWAITING_APPROVAL, ExecutionStatus.STARTED, ExecutionStatus.RUNNING})
_PENDING: Final = (
    "This call has no result yet. If it awaits approval, people decide in the console. Make the same call again later: "
    "it returns the result once there is one."
)


def call_result(answer: Answer, caller: Caller) -> types.CallToolResult:
    """Return the result of a call: that of the tool, a refusal, or what it waits for."""
    if answer.is_refusal:
        return as_result(answer, caller)
    result = execution_result(answer.body, caller)
    if answer.is_repeated:
        result.meta = {**(result.meta or {}), REPEATED: True}
    return result


def execution_result(execution: dict[str, Any], caller: Caller) -> types.CallToolResult:
    """Return the result of the tool that an execution called, or its status."""
    about = {name: execution.get(name) for name in _SHOWN if execution.get(name) is not None}
    about["console_url"] = caller.console_url(execution["work_item_id"])
    status = ExecutionStatus(execution["status"])
    recorded = execution.get("result") or {}
    if status in (ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED) and recorded.get("body") is not None:
        result = _of_tool(recorded)
        result.is_error = result.is_error or status is ExecutionStatus.FAILED
        result.meta = {**(result.meta or {}), EXECUTION: about}
        return result
    body = {**about, "detail": _PENDING} if status in _OPEN else about
    return types.CallToolResult(
        content=[types.TextContent(text=orjson.dumps(body).decode())],
        structured_content=body,
        is_error=status not in _OPEN and status is not ExecutionStatus.SUCCEEDED,
        _meta={EXECUTION: about},
    )


def _of_tool(recorded: dict[str, Any]) -> types.CallToolResult:
    """Return the recorded result of a tool. What is no result of the protocol, or was cut, is given as text."""
    body = recorded["body"]
    if isinstance(body, dict):
        kept = {name: body[name] for name in ("content", "structuredContent", "isError") if name in body}
        try:
            return types.CallToolResult.model_validate(kept)
        except ValidationError:
            body = orjson.dumps(body).decode()
    text = body if isinstance(body, str) else orjson.dumps(body).decode()
    meta = {TRUNCATED: True} if recorded.get("truncated") else None
    return types.CallToolResult(content=[types.TextContent(text=text)], _meta=meta)
