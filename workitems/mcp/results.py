"""Results of tools: the answer of a view as structured content, and a link to the console for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import mcp_types as types
import orjson

from threada_site.kernel import errors
from workitems.mcp.calls import Answer, Caller
from workitems.mcp.inputs import SUBMISSION, Inputs, submit
from workitems.mcp.tools import Tool

REPEATED: Final = "threada.dev/repeated"
"""Key of `_meta`: True if the answer is that of an earlier call."""


def tool_result(
    tool: Tool, arguments: Mapping[str, Any], inputs: Inputs, caller: Caller
) -> types.CallToolResult | types.InputRequiredResult:
    """Call a tool. Refusals are results with `isError` that contain the problem document of the API."""
    try:
        checked = tool.arguments.check(dict(arguments))
    except errors.InvalidRequest as refusal:
        return as_result(caller.authenticate(refusal), caller)
    answer = submit(tool, checked, inputs, caller) if tool.name == SUBMISSION else tool.call(checked, caller)
    return as_result(answer, caller) if isinstance(answer, Answer) else answer


def as_result(answer: Answer, caller: Caller) -> types.CallToolResult:
    """Return the result that contains an answer of a view."""
    body = answer.body if answer.is_refusal else with_link(answer.body, caller)
    result = types.CallToolResult(
        content=[types.TextContent(text=orjson.dumps(body).decode())],
        structured_content=body,
        is_error=answer.is_refusal,
    )
    if answer.is_repeated:
        result.meta = {REPEATED: True}
    return result


def with_link(body: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """Return the body with the address of its work item in the console, if it has one."""
    work_item_id = body.get("work_item_id")
    return {**body, "console_url": caller.console_url(work_item_id)} if work_item_id else body
