"""The tutorials, followed literally: their commands in a shell, their approvals in a browser.

Blocks of `sh` and `console` run one after another in one shell. `export NAME=prefix_…` takes the value from the output of
the block before it, the first one from what `manage.py up` printed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
from playwright.sync_api import Browser, expect

from tests.adversarial.server import REPOSITORY, Server
from tests.adversarial.waiting import until
from tests.clients.conftest import SOURCES
from threada_site.kernel.context import DOCUMENTED_SCOPES, with_implied

START: Final = "pip install uv && uv run manage.py up\n"
BLOCK: Final = re.compile(r"^ *```(sh|console|python|yaml)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_REQUEST: Final = re.compile(r"^curl -sS -X POST .*\n(?:  -H .*\n)+  -d '.*'$", re.MULTILINE)
_VALUE: Final = re.compile(r"^export (\w+)=(\w+_)…\n$")
_CRASH: Final = """python agent.py > crashed & agent=$!
until grep -q awaiting_approval crashed; do kill -0 $agent; sleep 0.2; done
kill -KILL $agent; cat crashed
"""
"""Commands in the place of `timeout 20 … || true`: the agent is killed once it has printed its ids."""


def blocks(page: str) -> list[tuple[str, str]]:
    """Return language and text of the code blocks of a tutorial."""
    return BLOCK.findall((REPOSITORY / "docs" / "tutorial" / page).read_text())


@dataclass
class Reader:
    """Somebody who follows pages in one shell of a running instance."""

    server: Server
    folder: Path
    output: str = field(init=False)

    def __post_init__(self) -> None:
        self.output = self.server.log.read_text()

    def run(self, block: str) -> str:
        """Run a block with the variables of the blocks before it. Return its output."""
        if value := _VALUE.match(block):
            found = re.search(rf"\b{value[2]}[0-9A-Za-z_]+", self.output)
            assert found is not None, (block, self.output)
            block = f"export {value[1]}={found[0]}\n"
        done = subprocess.run(
            self.command(block), cwd=self.folder, env=self.environment(), text=True, capture_output=True, timeout=240,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, (block, done.stdout, done.stderr)
        self.output = done.stdout or self.output
        return done.stdout

    def answer(self, block: str) -> Any:
        """Run a block that prints one JSON document."""
        return orjson.loads(self.run(block))

    def until(self, block: str, holds: Callable[[str], bool]) -> Any:
        """Run a block that prints one JSON document again, until it is as the page says."""
        until(lambda: holds(self.run(block)))
        return orjson.loads(self.output)

    def command(self, script: str) -> list[str]:
        """Return the shell that runs commands of a page, with this environment in the place of `uv run`."""
        python = sys.executable
        for written, run in (
            ("uv run manage.py", f"{python} {REPOSITORY}/manage.py"),
            ("uv run --with './integrations/clients/python[cli]' threada", f"{python} -m threada_client.cli"),
            ("uv run --with ./integrations/clients/python python", python),
            ("http://localhost:8000", f"http://localhost:{self.server.port}"),
        ):
            script = script.replace(written, run)
        assert "uv run" not in script
        variables = self.folder / "variables"
        before = f". {variables}\n" if variables.exists() else ""
        return ["bash", "-euo", "pipefail", "-c", f"{before}{script}\nexport -p > {variables}\n"]

    def environment(self) -> dict[str, str]:
        return {**self.server.environment, "PYTHONPATH": str(SOURCES / "python" / "src")}


def follow_readme(reader: Reader, browser: Browser) -> None:
    """Follow README.md: both requests that `up` printed, then the approval of `admin`, whose vote must count."""
    hand_in, ask = _REQUEST.findall(reader.output)
    assert "Run both requests, sign in as `admin`" in (REPOSITORY / "README.md").read_text()
    assert reader.answer(hand_in)["status"] == "new"
    (item,) = re.findall(r"wi_[0-9a-z]+", ask)
    assert reader.answer(ask)["status"] == "started"
    server = reader.server
    until(lambda: bool(server.send("GET", f"/decision-steps?work_item_id={item}").json()["data"]))
    approve(server, browser, item, "admin", shown="")
    (step,) = server.send("GET", f"/decision-steps?work_item_id={item}").json()["data"]
    votes = server.send("GET", f"/decision-steps/{step['decision_step_id']}").json()["votes"]
    assert [(vote["decision"], vote["counted"]) for vote in votes] == [("approve", True)]
    assert server.send("GET", f"/work-items/{item}").json()["status"] == "ready"
    scopes = with_implied(frozenset(DOCUMENTED_SCOPES))
    assert server.send("GET", "/me").json()["scopes"] == sorted(scopes)


def follow_first_action(reader: Reader) -> None:
    """Follow first-action.md: a payment that a policy allows, one that it refuses, and the verification."""
    start, token, create, item, pay, ask, refused, again, refusal, why, verify = (
        text for _, text in blocks("first-action.md")
    )
    assert start == START
    assert START in (REPOSITORY / "README.md").read_text()
    reader.run(token)
    assert reader.answer(create)["status"] == "new"
    reader.run(item)
    paid = reader.answer(pay)
    assert (paid["status"], paid["result"]["simulated"]) == ("succeeded", True)
    explain, timeline = ask.splitlines(keepends=True)
    assert reader.answer(explain)["why"][0] == "pay on int_bank succeeded, which resolves it."
    kinds = _kinds(reader.answer(timeline))
    assert (kinds[0], kinds[-1]) == ("execution.succeeded", "work_item.created")
    reader.run(refused)
    reader.run(again)
    problem = reader.answer(refusal)
    assert all(problem[name] for name in ("reason_code", "detail", "correlation_id")), problem
    explained = reader.until(why, lambda said: '"refused"' in said)
    assert explained["why"] == ["Policy payments denies it: SANCTIONED_VENDOR (rule sanctioned-vendor)."]
    assert "valid" in reader.run(verify)


def follow_two_people(reader: Reader, browser: Browser) -> None:
    """Follow two-people.md: a payment that the policy leaves to two people of finance."""
    create, item, pay, timeline = (text for _, text in blocks("two-people.md"))
    created = reader.answer(create)["work_item_id"]
    reader.run(item)
    assert reader.answer(pay)["status"] == "awaiting_approval"
    approve(reader.server, browser, created, "finance-1", then="Still needed: 1 more person with the role finance")
    approve(reader.server, browser, created, "finance-2")
    receipts = reader.until(timeline, lambda said: "execution.succeeded" in said)
    assert _kinds(receipts).count("vote.recorded") == 2


def follow_agent(reader: Reader, browser: Browser) -> tuple[str, str]:
    """Follow agent.md. Return the output of the crashed agent, and that of the rest."""
    found = blocks("agent.md")
    assert [language for language, _ in found] == ["sh", "python", "sh", "sh", "sh"]
    create, program, crash, again, prove = (text for _, text in found)
    (reader.folder / "agent.py").write_text(program)
    assert re.fullmatch(r"timeout 20 uv run --with \S+ python agent.py \|\| true\n", crash)
    reader.run(create)
    crashed = reader.run(crash.replace("timeout 20 ", "").replace("python agent.py || true\n", _CRASH))
    item = crashed.split()[0]
    with subprocess.Popen(
        reader.command(again + prove), cwd=reader.folder, env=reader.environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as running:  # fmt: skip
        for person in ("finance-1", "finance-2"):
            approve(reader.server, browser, item, person)
        output, _ = running.communicate(timeout=180)
    assert running.returncode == 0, output
    return crashed, output


def approve(
    server: Server,
    browser: Browser,
    item: str,
    person: str,
    *,
    shown: str = "Pay Hooli EUR 20,000.00",
    then: str = "",
) -> None:
    """Sign in with the password that `up` printed, open the step on the desk that shows `shown`, and approve it."""
    (step,) = server.send("GET", f"/decision-steps?work_item_id={item}").json()["data"]
    printed = server.log.read_text()
    passwords = dict(re.findall(r"(finance-\d) / (\S+?)(?:,|\n)", printed))
    passwords |= re.findall(r"user (admin), password (\S+)", printed)
    page = browser.new_context(base_url=f"http://localhost:{server.port}", locale="en-GB").new_page()
    page.goto("/console/")
    page.get_by_label("Account").or_(page.locator("[name=username]")).first.fill(person)
    page.locator("[name=password]").fill(passwords[person])
    page.locator("button[type=submit]").first.click()
    page.goto("/console/workitems/decisionstep/desk/")
    page.locator(f"main a[href*={step['decision_step_id']}]").filter(has_text=shown).first.click()
    page.locator("button:has-text('Approve')").first.click()
    expect(page.locator("main, [role=alert], .t-messages").first).to_contain_text(then)
    page.wait_for_load_state("networkidle")
    page.context.close()


def _kinds(timeline: Any) -> Sequence[str]:
    return [receipt["kind"] for receipt in timeline["data"]]
