"""The Tasks extension: an execution that awaits approval is a task, whose id is that of the execution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

import mcp_types as types
from mcp.shared.exceptions import MCPError
from pydantic import Field

from integrations.lifecycle import ExecutionStatus
from threada_site.api.resources.field_types import rfc3339
from threada_site.kernel import ids
from workitems.api.executions import ExecutionViewSet
from workitems.mcp.calls import Answer, Caller
from workitems.mcp.results import as_result
from workitems.mcp.views import TaskState

EXPLANATION: Final = "threada.dev/explanation"
"""Key of `_meta` of a task: the explanation of its work item."""
POLL_MS: Final = 5_000
_UNSUCCESSFUL: Final = frozenset({ExecutionStatus.FAILED, ExecutionStatus.REJECTED, ExecutionStatus.EXPIRED})
_COMPLETED: Final = _UNSUCCESSFUL | {ExecutionStatus.SUCCEEDED}


class TaskParams(types.RequestParams):
    """Parameters of `tasks/get`, `tasks/cancel` and `tasks/update`; the inputs of the last are not used."""

    task_id: str = Field(max_length=64)


def created_task(accepted: Mapping[str, Any], caller: Caller) -> dict[str, Any] | None:
    """Return the task for the answer of `execute_action`; None unless it awaits approval."""
    if accepted.get("status") != ExecutionStatus.AWAITING_APPROVAL:
        return None
    page = caller.console_url(accepted["work_item_id"])
    execution_id = ids.parse_public_id(ids.EXECUTION, accepted["execution_id"])
    assert execution_id is not None  # noqa: S101 - the API has answered it
    created_at = rfc3339(ids.instant_of(execution_id))
    return {
        "resultType": "task",
        "taskId": accepted["execution_id"],
        "status": "working",
        "statusMessage": f"Awaits the approval of people in the console: {page}",
        "createdAt": created_at,
        "lastUpdatedAt": created_at,
        "ttlMs": None,
        "pollIntervalMs": POLL_MS,
    }


def read_task(
    task_id: str, caller: Caller, result_of: Callable[[dict[str, Any], Caller], types.CallToolResult] | None = None
) -> dict[str, Any]:
    """Return the state of a task, with the explanation of its work item and, at the end, its result.

    `result_of` returns the result for the execution of a task that has ended; by default its representation.
    """
    state = _state(task_id, caller).body
    execution, explanation = state["execution"], state["explanation"]
    status = ExecutionStatus(execution["status"])
    page = caller.console_url(execution["work_item_id"])
    sentences = [*explanation["why"], *explanation["next"], f"In the console: {page}"]
    task = {
        "taskId": execution["execution_id"],
        "status": _task_status(status),
        "statusMessage": " ".join(sentences),
        "createdAt": execution["created_at"],
        "lastUpdatedAt": state["updated_at"],
        "ttlMs": None,
        "pollIntervalMs": POLL_MS,
        "_meta": {EXPLANATION: explanation},
    }
    if status in _COMPLETED:
        result = (result_of or _result_of)(execution, caller)
        task["result"] = result.model_dump(by_alias=True, mode="json", exclude_none=True)
    return task


def _result_of(execution: dict[str, Any], caller: Caller) -> types.CallToolResult:
    result = as_result(Answer(200, execution), caller)
    result.is_error = execution["status"] in _UNSUCCESSFUL
    return result


def cancel_task(task_id: str, caller: Caller) -> dict[str, Any]:
    """Cancel the execution. Raise an error if that is refused."""
    path = f"/executions/{quote(task_id, safe='')}/cancel"
    _accepted(caller.call(ExecutionViewSet, "POST", path, action="cancel", body={}, execution_id=task_id))
    return {}


def update_task(task_id: str, caller: Caller) -> dict[str, Any]:
    """Acknowledge inputs. No task asks for any, so they are ignored, as the extension asks."""
    _state(task_id, caller)
    return {}


def _state(task_id: str, caller: Caller) -> Answer:
    path = f"/executions/{quote(task_id, safe='')}"
    return _accepted(caller.call(TaskState, "GET", path, execution_id=task_id))


def _accepted(answer: Answer) -> Answer:
    if answer.is_refusal:
        raise MCPError(types.INVALID_PARAMS, answer.body["detail"], answer.body)
    return answer


def _task_status(status: ExecutionStatus) -> str:
    if status in _COMPLETED:
        return "completed"
    return "cancelled" if status is ExecutionStatus.CANCELLED else "working"
