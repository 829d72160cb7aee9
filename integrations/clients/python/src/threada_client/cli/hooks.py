"""Commands that a coding agent runs before a tool: `threada hook claude-code` and `threada hook codex`.

Every answer but an approval is a denial: no connection, no answer in time, an answer or input that is not understood.
Without an answer in the agent's format the command ends with exit code 2 and the reason on standard error.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import dataclass
from typing import Any, Final, NoReturn, cast

import click

from threada_client.cli.credentials import client
from threada_client.cli.hook_formats import CLAUDE_CODE, CODEX, MOST_BYTES, Decision, HookFormat, NotUnderstoodError
from threada_client.cli.output import text_of
from threada_client.tool_calls import Place, ToolCall, decide_tool_call

_PLACE: Final = Place()
_GRACE_S: Final = 5.0
"""Seconds beyond `--wait` after which the command answers although a call of the client is still being repeated."""
_BLOCKS: Final = 2
"""Exit code with which a hook keeps the tool from running; the agents read the reason from standard error."""
_NO_REASON: Final = "Threada gave no reason."
"""Text in place of an empty reason, with which Codex would run the tool."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long to wait for people, what to answer if they have not decided by then, and where work items go."""

    wait_s: float
    when_pending: Decision
    place: Place


@click.group()
def hook() -> None:
    """Ask Threada before a tool of a coding agent runs."""


def _add_command(form: HookFormat, about: str) -> None:
    @hook.command(form.agent, help=about)
    @click.option("--workflow", default=_PLACE.workflow, show_default=True, help="Workflow of the work items.")
    @click.option("--channel", default=_PLACE.channel, show_default=True, help="Channel of the work items.")
    @click.option("--action", default=_PLACE.action, show_default=True, help="Action that ends a work item.")
    @click.option("--integration", default=_PLACE.integration, show_default=True, help="Integration of the action.")
    @click.option("--wait", "wait_s", default=50.0, show_default=True, help="Seconds to wait for a decision.")
    @click.option(
        "--when-pending",
        type=click.Choice(["deny", "ask"]),
        default="deny",
        show_default=True,
        help="Answer if people have not decided by then.",
    )
    def command(wait_s: float, when_pending: str, **place: str) -> None:
        _answer(form, Terms(wait_s, cast("Decision", when_pending), Place(**place)))


_add_command(CLAUDE_CODE, "PreToolUse hook of Claude Code: reads the hook's input and prints allow, deny or ask.")
_add_command(CODEX, "PreToolUse or PermissionRequest hook of Codex. `ask` is a denial in PreToolUse, which cannot ask.")


def _answer(form: HookFormat, terms: Terms) -> None:
    """Print the decision, at the latest after `--wait` and a grace period, and exit with 0. Exit with 2 without one."""
    answers: list[dict[str, Any]] = []
    reasons = ["Threada did not answer in time."]
    asking = threading.Thread(target=lambda: _ask(form, terms, answers, reasons), daemon=True)
    asking.start()
    asking.join(terms.wait_s + _GRACE_S)
    if not answers:
        _block(reasons[-1])
    try:
        click.echo(json.dumps(answers[0]))
        sys.stdout.flush()
    except OSError:
        _block("The answer of Threada could not be written.")


def _block(reason: str) -> NoReturn:
    try:
        os.write(2, f"{text_of(reason)}\n".encode())
    finally:
        os._exit(_BLOCKS)


def _ask(form: HookFormat, terms: Terms, answers: list[dict[str, Any]], reasons: list[str]) -> None:
    """Append the answer to `answers`, or the reason why there is none to `reasons`."""
    try:
        call, write = form.read(sys.stdin.buffer.read(MOST_BYTES + 1))
        decision, reason = _decided(call, terms)
        answers.append(write(decision, text_of(reason).strip() or _NO_REASON))
    except NotUnderstoodError as wrong:
        reasons.append(f"Threada was not asked: {wrong}")
    except Exception as failure:  # noqa: BLE001 - a hook that fails would let the tool run
        reasons.append(f"The hook of Threada failed: {failure or type(failure).__name__}")


def _decided(call: ToolCall, terms: Terms) -> tuple[Decision, str]:
    """Return the decision with its reason. Whatever fails is a denial."""
    try:
        with client() as threada:
            found: Any = decide_tool_call(threada, call, timeout=terms.wait_s, place=terms.place)
    except click.ClickException as wrong:
        return "deny", f"Threada was not asked: {wrong.message}"
    except Exception as failure:  # noqa: BLE001 - a hook that fails would let the tool run
        return "deny", f"Threada did not allow it: {failure or type(failure).__name__}"
    if found.is_pending:
        return terms.when_pending, found.reason
    return ("allow" if found.is_allowed else "deny"), found.reason
