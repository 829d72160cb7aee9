"""Claude Code and Codex with a hook as documented, an empty home, and a model on this machine."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.clients.conftest import REPOSITORY
from tests.clients.model_stub import Call, model

_PAGE: Final = REPOSITORY / "docs" / "how-to" / "agents.md"
_PROMPT: Final = "Do your work."
CONFIGURATION: Final = """
model = "stub"
model_provider = "stub"
check_for_update_on_startup = false
[analytics]
enabled = false
[features]
plugins = false
[model_providers.stub]
name = "stub"
base_url = "{url}/v1"
env_key = "STUB_KEY"
wire_api = "responses"
"""


@dataclass(frozen=True, slots=True)
class CodingAgent:
    """Program, its shell tool, the place of the hook's settings, and the words of a run without questions."""

    name: str
    program: str
    event: str
    settings: str
    words: tuple[str, ...]

    def calls(self, *commands: str) -> list[Call]:
        """Return the calls of the shell tool that carry out these commands."""
        if self.name == "codex":
            return [("exec_command", {"cmd": command}) for command in commands]
        return [("Bash", {"command": command, "description": "Work."}) for command in commands]

    def run(self, packages: Path, folder: Path, environment: dict[str, str], wait_s: int, *commands: str) -> list[str]:
        """Let the model call the tool once for each command. Return what the model reads as the results.

        Every other address leads to the stub as well, and none may be asked for.
        """
        (program,) = (packages / "node_modules").glob(self.program)
        home, work = folder / "home", folder / "work"
        settings = (work if self.name == "claude-code" else home) / self.settings
        for made in (home / ".codex", work, settings.parent):
            made.mkdir(parents=True, exist_ok=True)
        settings.write_text(json.dumps(self.documented(wait_s)))
        with model(self.calls(*commands)) as stub:
            (home / ".codex" / "config.toml").write_text(CONFIGURATION.format(url=stub.url))
            ran = subprocess.run(
                [program, *self.words, _PROMPT],
                cwd=work,
                env=environment_of(environment, home, stub.url),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=240,
            )
        assert ran.returncode == 0, (ran.stdout[-2000:], ran.stderr[-2000:])
        assert stub.asked_for == []
        assert len(stub.results) == len(commands), (stub.results, ran.stdout[-2000:])
        return stub.results

    def documented(self, wait_s: int) -> dict[str, Any]:
        """Return the settings of the page about agents, with another time to wait."""
        blocks = re.findall(r"```json\n(.*?)```", _PAGE.read_text(), re.DOTALL)
        (found,) = [block for block in blocks if f"threada hook {self.name} " in block and self.event in block]
        settings = json.loads(found)
        (group,) = settings["hooks"][self.event]
        (hook,) = group["hooks"]
        hook["command"] = hook["command"].replace("--wait 300", f"--wait {wait_s}")
        return settings  # type: ignore[no-any-return]


def environment_of(environment: dict[str, str], home: Path, url: str) -> dict[str, str]:
    """Return the variables of a program that finds its model, and every other address, at `url`."""
    return {
        **environment,
        "HOME": str(home),
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "stub",
        "STUB_KEY": "stub",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "HTTPS_PROXY": url,
        "HTTP_PROXY": url,
        "NO_PROXY": "127.0.0.1",
    }


CLAUDE_CODE: Final = CodingAgent(
    "claude-code",
    "@anthropic-ai/claude-code-linux-*/claude",
    "PreToolUse",
    ".claude/settings.json",
    ("--print",),
)
CODEX: Final = CodingAgent(
    "codex",
    "@openai/codex-linux-*/vendor/*/bin/codex",
    "PreToolUse",
    ".codex/hooks.json",
    ("exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", "--dangerously-bypass-hook-trust"),
)
