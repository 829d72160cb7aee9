"""Create the people and programs of the scenarios in a running instance. Print their tokens and the log's keys as JSON."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any, Final

import django

TOOLS: Final = Path(__file__).resolve().parents[2] / "integrations/clients/python/examples/agent-tools.yaml"
CREDENTIALS: Final = {
    "ci": ("service", "tenant_admin", "configuration:write workflow:manage"),
    "buyer": ("agent", "client", "workitems:read workitems:write actions:execute"),
    "finance-1": ("human", "finance", "workitems:read decisions:decide"),
    "coder": ("agent", "client", "workitems:read workitems:write actions:execute"),
    "reviewer": ("human", "tool_approver", "workitems:read decisions:decide"),
    "finance-2": ("human", "finance", "workitems:read decisions:decide"),
}


def printed(command: str, *arguments: str) -> str:
    """Return what a command prints."""
    from django.core.management import call_command

    output = io.StringIO()
    call_command(command, *arguments, stdout=output)
    return output.getvalue()


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "threada_site.settings")
    django.setup()
    printed("apply", str(TOOLS), "--tenant", "demo")
    tokens: dict[str, Any] = {}
    for name, (kind, role, scopes) in CREDENTIALS.items():
        words = ("--principal", name, "--kind", kind, "--role", role, "--scopes", scopes)
        words = words if kind == "human" else (*words, "--owner", "developer-1")
        text = printed("create_credential", "--tenant", "demo", *words)
        tokens[name] = next(word for word in text.split() if word.startswith("thr_"))
    from tests.workitems.mcp.upstream import offer_tools

    offer_tools("demo", os.environ["MCP_UPSTREAM"])
    printed("browser_origins", "add", os.environ["PAGE_ORIGIN"], "--tenant", "demo")
    keys = [line for line in printed("sealing_keys", "--tenant", "demo").splitlines() if "+" in line]
    print(json.dumps({"tokens": tokens, "keys": keys}))


if __name__ == "__main__":
    main()
