"""Input and output of the hooks of coding agents, as Claude Code 2.1 and Codex 0.171 read them.

* Claude Code, PreToolUse: https://code.claude.com/docs/en/hooks#pretooluse-decision-control. Exit code 0 with a JSON
  object; a hook that fails in another way than by exit code 2 does not keep the tool from running.
* Codex, PreToolUse and PermissionRequest: https://developers.openai.com/codex/hooks. PreToolUse runs before each tool,
  and cannot ask: Codex runs the tool when it reads `ask`. PermissionRequest runs where Codex would ask the person at
  the terminal, so never in `codex exec`. Exit code 2 without a text on standard error, and a denial without a reason,
  do not keep a tool from running.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from threada_client.tool_calls import ToolCall

type Decision = Literal["allow", "deny", "ask"]
type Writer = Callable[[Decision, str], dict[str, Any]]

MOST_BYTES: Final = 1_000_000


class NotUnderstoodError(Exception):
    """Input that is not that of the hook."""


@dataclass(frozen=True, slots=True)
class HookFormat:
    """Format of one agent: its name, and for each event the function that writes the answer."""

    agent: str
    events: Mapping[str, Writer]

    def read(self, raw: bytes) -> tuple[ToolCall, Writer]:
        """Return the call in the hook's input, and the writer of its event. Raise `NotUnderstoodError`."""
        if len(raw) > MOST_BYTES:
            raise NotUnderstoodError("The input of the hook is longer than a megabyte.")
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            raise NotUnderstoodError("The input of the hook is not JSON.") from None
        event = found.get("hook_event_name") if isinstance(found, dict) else None
        if not isinstance(event, str) or event not in self.events:
            raise NotUnderstoodError(f"The input of the hook is not that of {' or '.join(self.events)}.")
        tool, tool_input = found.get("tool_name"), found.get("tool_input")
        if not isinstance(tool, str) or not tool or not isinstance(tool_input, dict):
            raise NotUnderstoodError("The input of the hook names no tool with its input.")
        directory, session = (str(found.get(name) or "") for name in ("cwd", "session_id"))
        return ToolCall(self.agent, tool, tool_input, directory, session), self.events[event]


def _pre_tool_use(decision: Decision, reason: str) -> dict[str, Any]:
    answer = {"hookEventName": "PreToolUse", "permissionDecision": decision, "permissionDecisionReason": reason}
    return {"hookSpecificOutput": answer}


def _codex_pre_tool_use(decision: Decision, reason: str) -> dict[str, Any]:
    """Return no objection, or a denial. After an approval the settings of Codex still apply; `ask` is a denial."""
    return {} if decision == "allow" else _pre_tool_use("deny", reason)


def _permission_request(decision: Decision, reason: str) -> dict[str, Any]:
    """Return the answer of a hook that cannot ask: `ask` leaves the decision to the person at the terminal."""
    if decision == "ask":
        return {}
    behaviour = {"behavior": decision} if decision == "allow" else {"behavior": decision, "message": reason}
    return {"hookSpecificOutput": {"hookEventName": "PermissionRequest", "decision": behaviour}}


CLAUDE_CODE: Final = HookFormat("claude-code", {"PreToolUse": _pre_tool_use})
CODEX: Final = HookFormat("codex", {"PreToolUse": _codex_pre_tool_use, "PermissionRequest": _permission_request})
