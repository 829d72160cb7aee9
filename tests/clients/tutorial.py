"""The steps of docs/tutorial/agent.md, followed literally: its commands in one shell, its approvals in a browser."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, expect

from tests.adversarial.server import REPOSITORY, Server
from tests.clients.conftest import SOURCES

PAGE: Final = REPOSITORY / "docs" / "tutorial" / "agent.md"
_BLOCK: Final = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CRASH: Final = """python agent.py > crashed & agent=$!
until grep -q awaiting_approval crashed; do kill -0 $agent; sleep 0.2; done
kill -KILL $agent; cat crashed
"""
"""Commands in the place of `timeout 20 … || true`: the agent is killed once it has printed its ids."""


def follow(server: Server, browser: Browser, folder: Path) -> tuple[str, str]:
    """Follow the page. Return the output of the crashed agent, and that of the rest."""
    blocks = _BLOCK.findall(PAGE.read_text())
    assert [language for language, _ in blocks] == ["sh", "python", "sh", "sh", "sh"]
    create, program, crash, again, prove = (text for _, text in blocks)
    (folder / "agent.py").write_text(program)
    assert re.fullmatch(r"timeout 20 uv run --with \S+ python agent.py \|\| true\n", crash)
    crash = crash.replace("timeout 20 ", "").replace("python agent.py || true\n", _CRASH)
    crashed = _shell(server, folder, f"{create}env | grep THREADA_ > variables\n{crash}")
    variables = "export " + " ".join((folder / "variables").read_text().split()) + "\n"
    with subprocess.Popen(
        _command(server, variables + again + prove), cwd=folder, env=_environment(server), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as running:  # fmt: skip
        passwords = dict(re.findall(r"(finance-\d) / (\S+?)(?:,|\n)", server.log.read_text()))
        for person in ("finance-1", "finance-2"):
            _approve(browser, f"http://localhost:{server.port}", person, passwords[person])
        output, _ = running.communicate(timeout=180)
    assert running.returncode == 0, output
    return crashed, output


def _approve(browser: Browser, address: str, person: str, password: str) -> None:
    """Sign in, open the payment on the desk, and approve it."""
    page = browser.new_context(base_url=address, locale="en-GB").new_page()
    page.goto("/console/")
    page.get_by_label("Account").or_(page.locator("[name=username]")).first.fill(person)
    page.locator("[name=password]").fill(password)
    page.locator("button[type=submit]").first.click()
    page.goto("/console/workitems/decisionstep/desk/")
    page.locator("main a:has-text('Pay Hooli EUR 20,000.00')").first.click()
    page.locator("button:has-text('Approve')").first.click()
    expect(page.locator("main, [role=alert], .t-messages").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.context.close()


def _shell(server: Server, folder: Path, script: str) -> str:
    done = subprocess.run(
        _command(server, script), cwd=folder, env=_environment(server), text=True, capture_output=True, timeout=240,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _command(server: Server, script: str) -> list[str]:
    """Return the shell that runs commands of the page, with this environment in the place of `uv run`."""
    python = f"{sys.executable}"
    for written, run in (
        ("uv run manage.py", f"{python} {REPOSITORY}/manage.py"),
        ("uv run --with './integrations/clients/python[cli]' threada", f"{python} -m threada_client.cli"),
        ("uv run --with ./integrations/clients/python python", python),
        ("http://localhost:8000", f"http://localhost:{server.port}"),
    ):
        script = script.replace(written, run)
    assert "uv run" not in script
    return ["bash", "-euo", "pipefail", "-c", script]


def _environment(server: Server) -> dict[str, str]:
    return {**server.environment, "PYTHONPATH": str(SOURCES / "python" / "src")}
