"""Input and output of the hooks of coding agents.

* Claude Code, PreToolUse: https://code.claude.com/docs/en/hooks#pretooluse-decision-control. Exit code 0 with a JSON
  object; a hook that fails in another way than by exit code 2 does not keep the tool from running.
* Codex, PermissionRequest: https://github.com/openai/codex/pull/17563 and, in that repository,
  `codex-rs/hooks/schema/generated/permission-request.command.output.schema.json`. A quiet or invalid hook leaves the
  decision to the person at the terminal.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from threada_client.tool_calls import ToolCall

type Decision = Literal["allow", "deny", "ask"]

MOST_BYTES: Final = 1_000_000


class NotUnderstoodError(Exception):
    """Input that is not that of the hook."""


@dataclass(frozen=True, slots=True)
class HookFormat:
    """Format of one agent: name, event, and the function that writes the answer."""

    agent: str
    event: str
    write: Callable[[Decision, str], dict[str, Any]]

    def read(self, raw: bytes) -> ToolCall:
        """Return the call in the hook's input. Raise `NotUnderstoodError`."""
        if len(raw) > MOST_BYTES:
            raise NotUnderstoodError("The input of the hook is longer than a megabyte.")
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            raise NotUnderstoodError("The input of the hook is not JSON.") from None
        if not isinstance(found, dict) or found.get("hook_event_name") != self.event:
            raise NotUnderstoodError(f"The input of the hook is not that of {self.event}.")
        tool, tool_input = found.get("tool_name"), found.get("tool_input")
        if not isinstance(tool, str) or not tool or not isinstance(tool_input, dict):
            raise NotUnderstoodError("The input of the hook names no tool with its input.")
        directory, session = (str(found.get(name) or "") for name in ("cwd", "session_id"))
        return ToolCall(self.agent, tool, tool_input, directory, session)


def _pre_tool_use(decision: Decision, reason: str) -> dict[str, Any]:
    answer = {"hookEventName": "PreToolUse", "permissionDecision": decision, "permissionDecisionReason": reason}
    return {"hookSpecificOutput": answer}


def _permission_request(decision: Decision, reason: str) -> dict[str, Any]:
    """Return the answer of a hook that cannot ask: `ask` leaves the decision to the person at the terminal."""
    if decision == "ask":
        return {}
    behaviour = {"behavior": decision} if decision == "allow" else {"behavior": decision, "message": reason}
    return {"hookSpecificOutput": {"hookEventName": "PermissionRequest", "decision": behaviour}}


CLAUDE_CODE: Final = HookFormat("claude-code", "PreToolUse", _pre_tool_use)
CODEX: Final = HookFormat("codex", "PermissionRequest", _permission_request)
