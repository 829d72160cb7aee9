"""The fixture of the first state is restored, upgraded and continued by this version; its export is imported.

`make_first.py` has made the fixture with the code of that state.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from telemetry.log.key_file import KeyFile
from tests.adversarial.waiting import until
from tests.ports import free_port
from threada_site import postgres
from threada_site.database.bootstrap import EMBEDDED_DATABASE
from threada_site.kernel.ids import DECISION_STEP, parse_public_id
from threada_site.tenancy.schema.fingerprint import schema_lines
from threada_site.tenancy.schema.states import current_lines

pytestmark = [pytest.mark.adversarial, pytest.mark.timeout(900)]

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
FACTS: Final[dict[str, Any]] = json.loads((HERE / "first.json").read_text())
PORT: Final = 18471
"""Port of the bank, which is part of the approved envelopes."""
SECRET: Final = "fixture-secret-4711"


class Bank(BaseHTTPRequestHandler):
    """Accepts every payment and notes it."""

    calls: list[tuple[str, str, str, str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        said = [self.headers.get(name, "") for name in ("Idempotency-Key", "Authorization")]
        self.calls.append((self.path, body, *said))  # type: ignore[arg-type]
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_arguments: Any) -> None:
        """Log nothing."""


@pytest.fixture
def bank() -> Iterator[list[tuple[str, str, str, str]]]:
    """Run the bank of the fixture and return its calls: path, body, idempotency key and authorization."""
    Bank.calls = []
    with ThreadingHTTPServer(("127.0.0.1", PORT), Bank) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Bank.calls
        server.shutdown()


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Return the environment of an empty machine."""
    folder = tmp_path / "data"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("THREADA_", "DATABASE_"))}
    yield {
        **inherited,
        "THREADA_DATA_DIR": str(folder),
        "THREADA_EGRESS_ALLOW": "127.0.0.1/32",
        "THREADA_RATE_LIMITS": "off",
        "THREADA_REQUIRE_MFA": "off",
        "THREADA_LOG_LEVEL": "WARNING",
    }
    postgres.stop(folder)


def manage(environment: dict[str, str], *words: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextmanager
def running(environment: dict[str, str], log: Path) -> Iterator[Callable[..., Any]]:
    """Run `up`. Yield a function that sends a request as a person and returns status and body."""
    port = free_port()
    command = [sys.executable, "manage.py", "up", "--no-demo", "--port", str(port)]

    def send(person: str, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {FACTS['tokens'][person]}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def is_ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return True
        except OSError:
            return False

    with log.open("w") as output, subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output) as process:  # fmt: skip
        try:
            until(is_ready, seconds=240)
            yield send
        finally:
            process.terminate()
            process.wait(120)


@pytest.mark.walk
def test_a_backup_of_the_first_state_is_restored_upgraded_and_continued(
    environment: dict[str, str], bank: list[tuple[str, str, str, str]], tmp_path: Path
) -> None:
    restore = ["restore", str(HERE / "first.backup"), "--recovery-key", str(HERE / "first.recovery.key")]
    keys = [word for key in FACTS["sealing_keys"] for word in ("--key", key)]
    said = manage(environment, *restore, *keys, "--log-name", "keep")
    assert "is restored" in said
    cluster = postgres.status(Path(environment["THREADA_DATA_DIR"]))
    assert cluster is not None
    with psycopg.connect(cluster.url(user=cluster.superuser, dbname=EMBEDDED_DATABASE)) as database:
        assert sorted(set(schema_lines(database.cursor())) ^ set(current_lines())) == []
    assert "all valid" in manage(environment, "verify_receipts")

    with running(environment, tmp_path / "up.log") as send:

        def execution(name: str) -> dict[str, Any]:
            status, body = send("ada", "GET", f"/executions/{name}")
            assert status == 200, body
            found: dict[str, Any] = json.loads(body)
            return found

        opened = FACTS["open"]
        vote = {"decision": "approve", "envelope_sha256": opened["envelope_sha256"]}
        status, body = send("finn", "POST", f"/decision-steps/{opened['step']}/votes", vote)
        assert status in (200, 201), body
        until(lambda: execution(opened["execution"])["status"] == "succeeded", seconds=120)
        assert execution(FACTS["outcome_unknown"])["status"] == "outcome_unknown"
        until(lambda: execution(FACTS["running"])["status"] == "outcome_unknown", seconds=400)

        of_robot = _owner_is_named(environment, send)
        until(lambda: execution(of_robot)["status"] == "succeeded", seconds=120)

        item = json.loads(send("ada", "GET", f"/work-items/{FACTS['erased']['item']}")[1])
        assert FACTS["erased"]["reference"] not in json.dumps(item)
        status, content = send("rita", "GET", f"/attachments/{FACTS['file']['attachment_id']}/content")
        assert (status, hashlib.sha256(content).hexdigest()) == (200, FACTS["file"]["sha256"])
        proposed = FACTS["change_set"]
        published = send(
            "ben", "POST", f"/change-sets/{proposed['change_set_id']}/publish", {"digest": proposed["digest"]}
        )
        assert published[0] == 200, published[1]
        time.sleep(2)  # what would be sent twice would be sent by now

    assert [(path, json.loads(body), authorization) for path, body, _, authorization in bank] == [
        ("/payments", {"amount": amount}, f"Bearer {SECRET}") for amount in (500, 501)
    ]
    assert [key for *_, key, _ in bank] == [opened["execution"], of_robot]
    manage(environment, "sealer", "--once")
    assert "all valid" in manage(environment, "verify_receipts")
    with psycopg.connect(cluster.url(user=cluster.superuser, dbname=EMBEDDED_DATABASE)) as database:
        assert database.execute("SELECT count(*) FROM workitems_workitem").fetchone() == (FACTS["work_items"],)
        assert database.execute("SELECT count(*) FROM telemetry_sealqueueentry").fetchone() == (0,)
        database.execute("ALTER TABLE tenancy_tenant ADD note text")
    _refused_everywhere(environment, tmp_path / "of_another_schema.backup")


def test_an_export_of_the_first_state_is_imported(environment: dict[str, str]) -> None:
    manage(environment, "upgrade")
    KeyFile(Path(environment["THREADA_DATA_DIR"]) / "keys" / "sealing_key").create("elsewhere.example")
    keys = [word for key in FACTS["sealing_keys"] for word in ("--log-key", key)]
    words = ["tenant", "import", str(HERE / "first.export"), "--recovery-key-file", str(HERE / "first.recovery.key")]
    said = manage(environment, *words, *keys)
    assert "1 stored secrets did not move: store them again." in said
    manage(environment, "sealer", "--once")
    assert "0 waiting" in (verified := manage(environment, "verify_receipts"))
    assert "all valid" in verified
    cluster = postgres.status(Path(environment["THREADA_DATA_DIR"]))
    assert cluster is not None
    with psycopg.connect(cluster.url(user=cluster.superuser, dbname=EMBEDDED_DATABASE)) as database:
        assert database.execute("SELECT count(*) FROM workitems_workitem").fetchone() == (FACTS["work_items"],)
        assert database.execute("SELECT count(*) FROM telemetry_quarantinedreceipt").fetchone() == (0,)
        [(controllers,)] = database.execute(
            "SELECT excluded_controllers FROM workitems_decisionstep WHERE id = %s",
            [parse_public_id(DECISION_STEP, FACTS["of_robot"]["step"])],
        ).fetchall()
        assert controllers == {}


def _owner_is_named(environment: dict[str, str], send: Callable[..., Any]) -> str:
    """Check that the step that a service without owner asked for waits for an owner, and approve it.

    Return the id of its execution.
    """
    asked = FACTS["of_robot"]
    place = f"/decision-steps/{asked['step']}"
    vote = {"decision": "approve", "envelope_sha256": asked["envelope_sha256"]}
    step = json.loads(send("fay", "GET", place)[1])
    assert (step["status"], step["nobody_can_decide"]) == ("pending", True)
    for person in ("fay", "finn", "fred"):
        status, body = send(person, "POST", f"{place}/votes", vote)
        refused = json.loads(body)
        assert (status, refused["reason_code"]) == (403, "voter_not_independent")
        assert "manage.py set_owner" in refused["detail"]
    explained = json.loads(send("fay", "GET", f"/work-items/{step['work_item_id']}/explain")[1])
    assert explained["next"][0] == (
        "It goes on when a steward, or the operator with manage.py set_owner, names an owner of robot."
    )
    assert manage(environment, "set_owner", "wim", "--of", "robot") == "robot\n"
    assert not json.loads(send("fay", "GET", place)[1])["nobody_can_decide"]
    for person in ("fay", "finn"):
        status, body = send(person, "POST", f"{place}/votes", vote)
        assert status in (200, 201), body
    assert json.loads(send("fay", "GET", place)[1])["status"] == "approved"
    execution: str = step["execution_id"]
    return execution


def _refused_everywhere(environment: dict[str, str], backup: Path) -> None:
    """Check that every command that needs the schema names how it differs."""
    difference = "column tenancy_tenant.note does not belong there"
    for words in (("upgrade",), ("upgrade", "--check"), ("up", "--no-demo", "--port", str(free_port())), ("doctor",)):
        assert difference in manage(environment, *words, status=1), words
    assert difference in manage(environment, "backup", str(backup))
    assert difference in manage(environment, "restore", str(backup), "--verify", status=1)
