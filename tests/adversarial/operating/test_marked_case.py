"""Contents of a case about a person are encrypted in every copy that a running instance makes, during its whole life.

A marker is written wherever such a case takes values. After each step it is searched for in every table, and in every
file of the instance: files and log of the database, spools, attachments, exports, logs of all processes. Backups and
exports are unpacked first. A case that is not about a person has a marker of its own, which the same search finds.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import io
import json
import subprocess
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet
import pytest

from telemetry.exports.formats import COMPRESSIONS, FORMATS
from tests.adversarial.server import Server, running_server
from tests.adversarial.test_canary_secrets import every_table, manager_of
from tests.receivers.fixtures import Receiver, receiver
from threada_site.postgres.binaries import locate
from threada_site.postgres.home import find_home
from threada_site.runtime.backup.archive import Backup
from threada_site.runtime.backup.create import DUMP
from threada_site.runtime.backup.recovery_key import new_recovery_key

__all__ = ["receiver"]
pytestmark = [pytest.mark.adversarial, pytest.mark.timeout(900)]

HIDDEN: Final = "mark-of-a-person-4c9e"
OPEN: Final = "mark-of-no-person-77d1"
REFERENCE: Final = f"{HIDDEN}-reference"
PEOPLE: Final = ("finance-1", "finance-2")
FILE: Final = {"type": "object", "x-threada": {"format": "file"}}
TEXT: Final = {"type": "string"}


def documents(receiver_url: str) -> str:
    schema = {"type": "object", "properties": {"person": TEXT, "note": TEXT, "letter": FILE}}
    action = {"method": "POST", "path": "/pay", "body": {"note": "${item.payload.note}", "memo": "${input.memo}"}}
    rule = {"id": "two", "when": "ctx.action == 'pay'", "effect": "require_approval", "reason": "TWO"}
    spec = {
        "connector": "http",
        "base_url": receiver_url,
        "idempotent": True,
        "retry": {"attempts": 20, "backoff": 1, "max_backoff": 2},
        "actions": {"pay": action},
    }
    workflow = {"payload_schema": schema, "actions": ["pay"], "title": "For ${item.payload.note}"}
    rules = [{**rule, "approvals": {"all": [{"role": "finance", "count": 2}]}}, _allowed()]
    return "\n---\n".join(
        json.dumps(each)
        for each in (
            {"kind": "Integration", "id": "int_letters", "spec": spec},
            {"kind": "Workflow", "id": "about_people", "spec": {**workflow, "subject": "/person"}},
            {"kind": "Workflow", "id": "about_none", "spec": workflow},
            {"kind": "Policy", "id": "letters", "spec": {"rules": rules}},
            *(
                {"kind": "Overlay", "policy": "letters", "scope": {"workflow": f"about_{each}"}}
                for each in ("people", "none")
            ),
        )
    )


def _allowed() -> dict[str, Any]:
    return {"id": "fine", "when": "true", "effect": "allow", "reason": "FINE"}


@dataclasses.dataclass
class Searched:
    """An instance whose copies are searched."""

    server: Server
    folder: Path
    tokens: dict[str, str]

    def places(self, marker: str) -> set[str]:
        """Return tables and files in which a marker is found, in any form in which it may be stored."""
        tables = every_table(self.server).items()
        found = {f"table {name}" for name, rows in tables if any(form in rows for form in forms_of(marker))}
        return found | self.on_disk(marker)

    def on_disk(self, marker: str) -> set[str]:
        """Return files in which a marker is found."""
        forms = [form.encode() for form in forms_of(marker)]
        return {name for name, contents in self._files() if any(form in contents for form in forms)}

    def _files(self) -> Iterator[tuple[str, bytes]]:
        home = find_home(self.folder / "data")
        assert home is not None
        for root in {self.folder, home}:
            for path in root.rglob("*"):
                try:
                    raw = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
                except OSError:  # removed meanwhile
                    continue
                is_of_database = path.is_relative_to(home)
                name = (
                    f"the database: {path.relative_to(home)}" if is_of_database else str(path.relative_to(self.folder))
                )
                yield name, raw
                yield from () if is_of_database else unpacked(name, raw)

    def call(self, method: str, path: str, body: Any = None, *, by: str = "ivy", status: int) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        key = [("Idempotency-Key", f"{path}-{by}".replace("/", "-"))] if method == "POST" else []
        server = dataclasses.replace(self.server, token=self.tokens[by])
        answer = server.send(method, path, sent, key)
        assert answer.status == status, (path, answer.status, answer.body)
        return answer.json() if answer.body else None

    def upload(self, text: str) -> str:
        """Return the id of a text file."""
        head = '--x\r\nContent-Disposition: form-data; name="file"; filename="letter.txt"\r\n\r\n'
        body = f"{head}{text}\r\n--x--\r\n".encode()
        sender = dataclasses.replace(self.server, token=self.tokens["ivy"])
        answer = sender.send("POST", "/attachments", body, media_type="multipart/form-data; boundary=x")
        assert answer.status == 201, answer.body
        return str(answer.json()["attachment_id"])


def forms_of(marker: str) -> set[str]:
    """Return the marker as text, hexadecimal, and base64 at each of the three offsets."""
    encoded = (base64.b64encode(b"x" * skipped + marker.encode()).decode()[4:-4] for skipped in (1, 2, 3))
    return {marker, marker.encode().hex(), *encoded}


def unpacked(name: str, raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what a compressed file contains."""
    if raw[:2] == b"\x1f\x8b":
        yield f"{name} (gzip)", gzip.decompress(raw)
    elif raw[:4] == b"PAR1":
        yield f"{name} (parquet)", repr(pyarrow.parquet.read_table(io.BytesIO(raw)).to_pylist()).encode()
    elif raw[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            for member in archive.namelist():
                inner = archive.read(member)
                yield f"{name}: {member}", inner
                yield from unpacked(f"{name}: {member}", inner)


def opened(folder: Path, receiver_url: str, server: Server) -> Searched:
    """Publish the workflows. Return the instance with credentials of a service and two people."""
    (folder / "documents.yaml").write_text(documents(receiver_url))
    server.manage("apply", str(folder / "documents.yaml"), "--tenant", "demo")
    tokens = {"ivy": manager_of(server).token}
    for person in PEOPLE:
        words = ["--tenant", "demo", "--principal", person, "--kind", "human"]
        tokens[person] = server.manage(
            "create_credential", *words, "--scopes", "workitems:read decisions:decide"
        ).strip()
    return Searched(server, folder, tokens)


def create(searched: Searched, workflow: str, marker: str) -> str:
    """Create a case with the marker in every value. Return its id."""
    letter = {"attachment_id": searched.upload(f"{marker}-letter")}
    sent = {
        "workflow_id": workflow,
        "payload": {"person": f"{marker}-reference", "note": f"{marker}-note", "letter": letter},
        "evidence": [{"kind": "citation", "title": f"{marker}-title", "quote": f"{marker}-quote"}],
    }
    server = dataclasses.replace(searched.server, token=searched.tokens["ivy"])
    answer = server.send("POST", "/work-items", json.dumps(sent).encode(), [("Idempotency-Key", workflow)])
    assert answer.status == 201, answer.body
    return str(answer.json()["work_item_id"])


def request_action(searched: Searched, case: str, marker: str) -> tuple[str, dict[str, Any]]:
    """Comment on a case and request its action. Return its execution and the step that waits for votes."""
    searched.call("POST", f"/work-items/{case}/comments", {"text": f"{marker}-comment"}, by="finance-1", status=201)
    asked = {"work_item_id": case, "action_id": "pay", "integration_id": "int_letters"}
    started = searched.call("POST", "/actions/execute", {**asked, "input": {"memo": f"{marker}-memo"}}, status=202)
    (step,) = searched.call("GET", f"/decision-steps?work_item_id={case}", status=200)["data"]
    return started["execution_id"], step


def vote(searched: Searched, step: dict[str, Any], marker: str, *, by: str) -> None:
    ballot = {"decision": "approve", "envelope_sha256": step["envelope_sha256"], "comment": f"{marker}-vote"}
    searched.call("POST", f"/decision-steps/{step['decision_step_id']}/votes", ballot, by=by, status=201)


def write_exports(searched: Searched) -> None:
    """Write every kind of file that may not contain a case about a person, and unpack the dump of the backup."""
    folder, server = searched.folder, searched.server
    for form in FORMATS:
        for compression in COMPRESSIONS:
            asked = {"format": form, "compression": compression}
            sender = dataclasses.replace(server, token=searched.tokens["ivy"])
            answer = sender.send("POST", "/telemetry/exports", json.dumps(asked).encode())
            path, ends = f"/telemetry/exports/{answer.json()['export_id']}", time.monotonic() + 60
            while (shown := searched.call("GET", path, status=200))["status"] != "ready":
                assert time.monotonic() < ends, shown
                time.sleep(0.2)
    _, public = new_recovery_key()
    server.manage("backup", str(folder / "one.backup"))
    with Backup(folder / "one.backup") as backup:
        (folder / "one.dump").write_bytes(b"".join(backup.blocks(DUMP)))
    restore = [locate().install / "bin" / "pg_restore", "--file", folder / "unpacked.sql", folder / "one.dump"]
    subprocess.run(restore, check=True)
    server.manage("tenant", "export", "demo", str(folder / "tenant.export"), "--recovery-key", public)
    now, day = datetime.now(UTC), timedelta(days=1)
    window = ["--from", f"{now - day:%Y-%m-%dT00:00:00Z}", "--to", f"{now + day:%Y-%m-%dT00:00:00Z}"]
    server.manage("evidence", str(folder / "evidence.zip"), "--tenant", "demo", "--framework", "soc2", *window)


def test_marker_of_a_case_about_a_person_is_in_no_copy(tmp_path: Path, receiver: Receiver) -> None:
    folder, spools = tmp_path / "instance", tmp_path / "instance" / "spools"
    spools.mkdir(parents=True)
    own = {"THREADA_LOG_LEVEL": "DEBUG", "THREADA_EGRESS_ALLOW": "127.0.0.1/32", "TMPDIR": str(spools)}
    receiver.behave({"/pay": {"status": 500, "body": {"you said": HIDDEN}}})
    with running_server(folder, **own) as server:
        searched = opened(folder, receiver.url, server)
        create(searched, "about_none", OPEN)
        case = create(searched, "about_people", HIDDEN)
        assert searched.places(HIDDEN) == set()
        execution, step = request_action(searched, case, HIDDEN)
        vote(searched, step, HIDDEN, by="finance-1")
        assert searched.places(HIDDEN) == set()
        vote(searched, step, HIDDEN, by="finance-2")
        receiver.wait_for(1, path="/pay", timeout_s=60)
        assert searched.places(HIDDEN) == set()
        receiver.behave({"/pay": {"status": 200, "body": {"you said": HIDDEN}}})
        ends = time.monotonic() + 60
        while (shown := searched.call("GET", f"/executions/{execution}", status=200))["status"] != "succeeded":
            assert time.monotonic() < ends, shown
            time.sleep(0.2)
        assert f"{HIDDEN}-memo" in json.dumps(receiver.requests("/pay"))
        write_exports(searched)
        assert searched.places(HIDDEN) == set()
        found = searched.places(OPEN)
        assert found >= {"table workitems_workitem", "unpacked.sql", "tenant.export: rows/workitems_workitem.csv"}, (
            found
        )
        assert any(name.startswith("the database: ") for name in found)
        server.manage(
            "subject", "export", "--tenant", "demo", "--reference", REFERENCE, "--output", str(folder / "person.ndjson")
        )
        assert searched.places(HIDDEN) == {"person.ndjson"}
    assert searched.on_disk(HIDDEN) == {"person.ndjson"}
