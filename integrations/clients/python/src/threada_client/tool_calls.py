"""Decision of Threada about a tool that an agent wants to run: one work item for each call.

The documents for it are in `examples/agent-tools.yaml`. Ending the work item uses the approval, so it allows one call.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from threada_client.client import Threada
from threada_client.errors import PolicyDenied, WaitTimedOut

_DECIDED: Final = frozenset({"ready", "refused", "rejected", "expired", "resolved", "cancelled", "failed"})
_OPEN: Final = ("new", "in_review", "awaiting_approval", "ready")
_FOUND_FOR: Final = timedelta(hours=24)
_LABEL: Final = "tool_call"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Tool that an agent wants to run. `session` is recorded, but a call of another session is the same call."""

    agent: str
    tool: str
    tool_input: Mapping[str, Any]
    directory: str = ""
    session: str = ""

    @property
    def payload(self) -> dict[str, Any]:
        """Return the payload of the work item."""
        return {
            "agent": self.agent,
            "tool": self.tool,
            "input": dict(self.tool_input),
            "directory": self.directory,
            "session": self.session,
        }

    @property
    def sha256(self) -> str:
        """Return the digest by which a repeated call finds its work item."""
        return hashlib.sha256(_compared(self.payload).encode()).hexdigest()

    def is_payload_of(self, item: Mapping[str, Any]) -> bool:
        """Return True if a work item is about this call.

        Its label does not prove that: whoever may write work items may change label and payload.
        """
        shown = item["payload"]
        return isinstance(shown, dict) and json.loads(_compared(shown)) == json.loads(_compared(self.payload))


def _compared(payload: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in payload.items() if name != "session"}, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Place:
    """Workflow and channel of the work items, and the action that ends one."""

    workflow: str = "agent_tool_call"
    channel: str = "coding_agents"
    action: str = "close"
    integration: str = "int_agent_tools"


@dataclass(frozen=True, slots=True)
class ToolDecision:
    """Answer about a call. `is_pending`: people have not decided yet; the same call meets the same approval later."""

    is_allowed: bool
    reason: str
    is_pending: bool = False


def decide_tool_call(
    threada: Threada, call: ToolCall, *, timeout: float = 50, place: Place | None = None
) -> ToolDecision:
    """Submit a call, wait up to `timeout` seconds for its decision, and use the approval.

    Raise `ThreadaError` for everything that is no decision. Whoever calls this must not run the tool then.
    """
    place = place or Place()
    ends_at = time.monotonic() + timeout
    try:
        item = _work_item(threada, call, place)
        item_id = item["work_item_id"]
        page = f"{threada.url}/console/workitems/workitem/{item_id}/"
        try:
            item = threada.wait_for_work_item(item_id, until=_DECIDED, timeout=timeout)
        except WaitTimedOut:
            reason = f"People must approve this first: {page} Try again after that."
            return ToolDecision(is_allowed=False, reason=reason, is_pending=True)
        if item["status"] != "ready":
            why = " ".join(threada.explain(item_id)["why"])
            return ToolDecision(is_allowed=False, reason=f"The work item is {item['status']}. {why} {page}")
        used = threada.execute(item_id, place.action, place.integration, idempotency_key=str(uuid.uuid4()))
    except PolicyDenied as denied:
        return ToolDecision(is_allowed=False, reason=f"Denied by policy: {denied.detail}")
    ended = threada.wait_for_execution(used["execution_id"], timeout=max(1.0, ends_at - time.monotonic()))
    if ended["status"] != "succeeded":
        return ToolDecision(is_allowed=False, reason=f"The approval was not used: {ended['status']}. {page}")
    if not call.is_payload_of(threada.work_item(item_id)):  # it has ended, so nobody can change it any more
        return ToolDecision(is_allowed=False, reason=f"The work item is about another call: {page}")
    return ToolDecision(is_allowed=True, reason=f"Allowed by Threada: {page}")


def _work_item(threada: Threada, call: ToolCall, place: Place) -> Any:
    """Return the open work item of the last day for the same call, or a new one."""
    since = (datetime.now(UTC) - _FOUND_FOR).strftime("%Y-%m-%dT%H:%M:%SZ")
    label = f"{_LABEL}={call.sha256}"
    for item in threada.work_items(workflow_id=place.workflow, created_after=since, metadata=label, status=_OPEN):
        return item
    return threada.create_work_item(
        place.workflow, call.payload, channel_id=place.channel, metadata={_LABEL: call.sha256}
    )
