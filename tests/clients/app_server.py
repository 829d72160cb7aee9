"""Codex as a server of an editor, which asks a person before commands outside of its sandbox, or its hook."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.clients.model_stub import Call, model
from tests.clients.programs import CODEX, CONFIGURATION, environment_of


class Editor:
    """Client of `codex app-server`. It fails if Codex asks it, because the hook has to answer."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._sent = 0

    def ask(self, method: str, **parameters: Any) -> Any:
        """Return the result of a request."""
        self._sent += 1
        self._send({"id": self._sent, "method": method, "params": parameters})
        answer = self._next(lambda message: message.get("id") == self._sent)
        assert "result" in answer, answer
        return answer["result"]

    def begin(self) -> None:
        """Introduce the editor."""
        self.ask("initialize", clientInfo={"name": "test", "version": "1"})
        self._send({"method": "initialized"})

    def wait_for(self, event: str) -> None:
        self._next(lambda message: message.get("method") == event)

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(message)}\n")
        self._process.stdin.flush()

    def _next(self, is_wanted: Any) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message: dict[str, Any] = json.loads(line)
            assert not {"id", "method"} <= message.keys(), message
            if is_wanted(message):
                return message
        raise AssertionError("Codex has ended.")


def run_with_questions(packages: Path, folder: Path, environment: dict[str, str], *commands: str) -> list[str]:
    """Let the model run commands outside of the sandbox, for which PermissionRequest is asked. Return the results."""
    (program,) = (packages / "node_modules").glob(CODEX.program)
    home, work = folder / "home", folder / "work"
    for made in (home / ".codex", work):
        made.mkdir(parents=True, exist_ok=True)
    settings = {"hooks": {"PermissionRequest": CODEX.documented(60)["hooks"]["PreToolUse"]}}
    (home / CODEX.settings).write_text(json.dumps(settings))
    outside = {"sandbox_permissions": "require_escalated", "justification": "Work."}
    calls: list[Call] = [("exec_command", {"cmd": command, **outside}) for command in commands]
    with model(calls) as stub:
        env = environment_of(environment, home, stub.url)
        configuration = CONFIGURATION.format(url=stub.url)
        (home / ".codex" / "config.toml").write_text(configuration)
        with _editor(program, work, env) as editor:
            (found,) = editor.ask("hooks/list", cwds=[str(work)])["data"]
        (hook,) = found["hooks"]
        trusted = f'[hooks.state."{hook["key"]}"]\ntrusted_hash = "{hook["currentHash"]}"\n'
        (home / ".codex" / "config.toml").write_text(configuration + trusted)
        with _editor(program, work, env) as editor:
            place = {"approvalPolicy": "on-request", "sandbox": "workspace-write", "cwd": str(work)}
            thread = editor.ask("thread/start", **place)["thread"]["id"]
            editor.ask("turn/start", threadId=thread, input=[{"type": "text", "text": "Do your work."}])
            editor.wait_for("turn/completed")
    assert stub.asked_for == []
    return stub.results


@contextmanager
def _editor(program: Path, work: Path, environment: dict[str, str]) -> Iterator[Editor]:
    with subprocess.Popen(
        [program, "app-server"],
        cwd=work,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            editor = Editor(process)
            editor.begin()
            yield editor
        finally:
            process.kill()
