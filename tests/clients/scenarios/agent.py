"""An agent with the official Python client: `crash`, `request` or `finish` a payment, or `look_up` with a governed tool.
Prints JSON.

`crash` ends the process after the request, before anything is printed or stored.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any, Literal

import httpx2
import mcp_types as types
from mcp import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.streamable_http import streamable_http_client

PAYMENT = {"vendor": "Hooli", "amount_minor": 2_000_000, "invoice": "AGENT-1"}
SUBMISSION = {"workflow_id": "payment_run", "channel_id": "payment_form", "payload": PAYMENT, "evidence": ["order 7"]}


class Task(types.Result):
    """Result that says that the execution is a task."""

    result_type: Literal["task"] = "task"
    task_id: str
    status: str


class TaskParams(types.RequestParams):
    task_id: str


class GetTask(types.Request[TaskParams, Literal["tasks/get"]]):
    method: Literal["tasks/get"] = "tasks/get"
    params: TaskParams


class TaskState(types.Result):
    status: str
    status_message: str = ""
    result: dict[str, Any] | None = None


async def read_once(task: Task, ctx: ClaimContext) -> types.CallToolResult:
    """Return the state of a task instead of waiting for its end."""
    state = await ctx.session.send_request(GetTask(params=TaskParams(task_id=task.task_id)), TaskState)
    shown = {"task_id": task.task_id, "status": state.status, "message": state.status_message}
    return types.CallToolResult(content=[], structured_content=shown)


class Tasks(ClientExtension):
    identifier = "io.modelcontextprotocol/tasks"

    def claims(self) -> list[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=Task, resolve=read_once)]


def call_of(item: dict[str, Any]) -> dict[str, Any]:
    return {"work_item_id": item["work_item_id"], "action_id": "pay", "integration_id": "int_bank"}


async def requested(client: Client) -> dict[str, Any]:
    """Submit the payment and request it, as a program without memory does."""
    item = await client.call_tool("submit_work_item", SUBMISSION)
    execution = await client.call_tool("execute_action", call_of(item.structured_content))
    assert not execution.is_error, execution
    return {**execution.structured_content, "protocol": client.session.protocol_version}


async def as_task(client: Client, execution: dict[str, Any]) -> None:
    """Call again with the Tasks extension: the execution is a task, and people are named in its state."""
    task = (await client.call_tool("execute_action", call_of(execution))).structured_content
    assert (task["task_id"], task["status"]) == (execution["execution_id"], "working"), task
    assert "/console/workitems/workitem/" in task["message"], task


async def finished(client: Client) -> dict[str, Any]:
    """Find the execution again, and poll its task until it has ended."""
    statuses_asked = ["awaiting_approval", "executing", "ready", "resolved"]
    mine = await client.call_tool("list_my_work", {"workflow_id": "payment_run", "status": statuses_asked})
    execution = await client.call_tool("execute_action", call_of(mine.structured_content["data"][0]))
    task_id = execution.structured_content["execution_id"]
    statuses: list[str] = []
    for _ in range(300):
        state = await client.session.send_request(GetTask(params=TaskParams(task_id=task_id)), TaskState)
        statuses.append(state.status)
        if state.result is not None:
            shown = state.result["structuredContent"]
            return {**shown, "is_error": state.result["isError"], "statuses": statuses}
        await asyncio.sleep(0.2)
    raise TimeoutError(statuses)


async def main(what: str) -> None:
    headers = {"Authorization": f"Bearer {os.environ['MCP_TOKEN']}"}
    url = os.environ["MCP_URL"]
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            if what == "look_up":
                found = await client.call_tool("look_up", {"text": "python"})
                print(json.dumps(found.structured_content))
                return
            assert len((await client.list_tools()).tools) == 9
            answer = await (finished if what == "finish" else requested)(client)
        if what == "crash":
            os._exit(9)
        if what == "request":
            async with Client(streamable_http_client(url, http_client=http), extensions=[Tasks()]) as client:
                await as_task(client, answer)
        print(json.dumps(answer))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
