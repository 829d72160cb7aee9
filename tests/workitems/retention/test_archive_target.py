"""Archiving to another machine: it is there, whole, before anything is removed; whatever happens on the way loses
nothing and is said without secrets."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from telemetry.models import Receipt
from tests.jobs import run_jobs
from tests.receivers.ftp_server import PASSWORD, USER
from tests.telemetry.sealed import SealingSetup
from tests.workitems.office import Office
from tests.workitems.retention.archives import (
    bodies_of_cases,
    dry_run,
    ended,
    kill_retention,
    payloads_left,
    put_rule,
    seal_all,
)
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, errors
from threada_site.kernel.errors.retention import ArchiveOutdated
from threada_site.personal_data.erasable_fields import is_erased
from workitems.models import RetentionRun, WorkItem
from workitems.retention import batches as retention_batches
from workitems.retention import sweep as keeping
from workitems.retention.archive_target import Target
from workitems.retention.batches import take_batch
from workitems.retention.run import apply_batch

ROOT = Path(__file__).resolve().parents[3]
VERIFIER = ROOT / "telemetry" / "verifier" / "threada_verify.py"


class Server:
    """An FTP server: what lies there, and how it behaves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "there"
        self.folder.mkdir()
        self.control = folder / "control.json"
        self.port = 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.receivers.ftp_server", str(self.folder), str(self.control)]
        self.process = subprocess.Popen([*command, str(self.port)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def behave(self, **told: bool) -> None:
        self.control.write_text(json.dumps(told))

    def files(self) -> dict[str, bytes]:
        found = sorted(file for file in self.folder.rglob("*") if file.is_file())
        return {file.name: file.read_bytes() for file in found}

    def renames(self) -> list[str]:
        return (self.control.parent / "renames").read_text().split()


@pytest.fixture
def server(tmp_path: Path, settings: Any) -> Iterator[Server]:
    running = Server(tmp_path)
    options = tmp_path / "options.json"
    options.write_text(json.dumps({"username": USER, "password": PASSWORD, "timeout": 10}))
    settings.THREADA_ARCHIVE_DIR = ""
    settings.THREADA_ARCHIVE_URL = f"ftp://127.0.0.1:{running.port}/long/kept"
    settings.THREADA_ARCHIVE_OPTIONS_FILE = str(options)
    settings.THREADA_ARCHIVE_SPOOL_DIR = tmp_path / "spool"
    yield running
    running.stop()


def run(office: Office, *, size: int = 100) -> int:
    batches = 0
    while not take_batch(now=clock.now(), ctx=office.system, size=size).is_last:
        batches += 1
    return batches


def due(office: Office, *, items: int = 1) -> tuple[list[WorkItem], set[bytes]]:
    """Cases that a rule lets go, a dry run that shows them, and the bodies of their receipts."""
    found = [ended(office, days=800) for _ in range(items)]
    put_rule(office, keep_payload="P90D", keep_receipts="P2Y", then="archive")
    dry_run(office)
    seal_all(office)
    return found, bodies_of_cases(office)


def nothing_is_removed(office: Office, items: list[WorkItem]) -> None:
    assert [office.item(item).payload for item in items] == [{"amount": 500}] * len(items)


def archived_rows(files: dict[str, bytes], batch: str) -> list[dict[str, Any]]:
    (name,) = (name for name in files if name.startswith(batch) and name.endswith("-rows.ndjson"))
    return [json.loads(line) for line in files[name].splitlines()]


def test_it_is_there_whole_before_anything_is_removed(office: Office, server: Server, tmp_path: Path) -> None:
    _, bodies = due(office, items=3)
    assert run(office) == 2
    assert office.count(WorkItem) == 0
    files = server.files()
    assert [name[:7] + name[20:] for name in files] == [
        "000001-manifest.json", "000001-rows.ndjson",
        "000002-manifest.json", "000002-receipts.ndjson", "000002-rows.ndjson",
    ]  # fmt: skip
    assert [name[:7] + name[20:] for name in server.renames()] == [
        "000001-rows.ndjson", "000001-manifest.json",
        "000002-rows.ndjson", "000002-receipts.ndjson", "000002-manifest.json",
    ]  # fmt: skip
    (receipts,) = (data for name, data in files.items() if name.endswith("-receipts.ndjson"))
    assert set(receipts.splitlines()) == bodies
    rows = archived_rows(files, "000001")
    assert [row["row"]["payload"] for row in rows if row["table"] == "workitems_workitem"] == [{"amount": 500}] * 3
    told = [body["outcome"]["archive"] for body in office.bodies("retention.batch_applied")]
    with unit_of_work(office.tenant.id):
        folder = f"acme/{RetentionRun.objects.get().public_id}"
    assert {(one["target"], one["folder"]) for one in told} == {(f"ftp://127.0.0.1:{server.port}/long/kept", folder)}
    assert (server.folder / "long/kept" / folder).is_dir()
    for one in told:
        manifest = json.loads(files[one["files"][-1]["name"]])
        assert [file["name"] for file in manifest["files"]] == [file["name"] for file in one["files"][:-1]]
        for file in one["files"]:
            found = files[file["name"]]
            assert (hashlib.sha256(found).hexdigest(), len(found)) == (file["sha256"], file["size"])
    assert list((tmp_path / "spool").iterdir()) == []
    with unit_of_work(office.tenant.id):
        assert not any(PASSWORD.encode() in bytes(body) for body in Receipt.objects.values_list("body", flat=True))


def test_a_password_in_the_address_is_shown_nowhere(
    office: Office, server: Server, settings: Any, capfd: Any, tmp_path: Path
) -> None:
    settings.THREADA_ARCHIVE_OPTIONS_FILE = ""
    settings.THREADA_ARCHIVE_URL = f"ftp://{USER}:{PASSWORD}@127.0.0.1:{server.port}/kept"
    settings.THREADA_RETENTION_NOTICE_HOURS = 0
    items, _ = due(office)
    server.behave(full=True)
    run_jobs()
    keeping.enqueue_due_retention()
    run_jobs()
    nothing_is_removed(office, items)
    with unit_of_work(office.tenant.id):
        failure = RetentionRun.objects.get().failure
    assert failure.startswith(f"The archive ftp://127.0.0.1:{server.port}/kept cannot be used: ")
    assert "552 No space for [redacted]." in failure
    assert PASSWORD not in "".join(capfd.readouterr())
    server.behave()
    assert run(office) == 2
    assert {body["outcome"]["archive"]["target"] for body in office.bodies("retention.batch_applied")} == {
        f"ftp://127.0.0.1:{server.port}/kept"
    }


@pytest.mark.parametrize("behaviour", ["full", "corrupt"])
def test_what_does_not_read_back_is_not_removed(office: Office, server: Server, behaviour: str) -> None:
    items, bodies = due(office)
    server.behave(**{behaviour: True})
    said = "reads back as" if behaviour == "corrupt" else "552"
    with pytest.raises(errors.ArchiveUnavailable, match=said) as failed:
        run(office)
    assert PASSWORD not in str(failed.value)
    assert failed.value.detail.endswith("Nothing was removed.")
    nothing_is_removed(office, items)
    assert server.files() == {}
    server.behave()
    assert run(office) == 2
    (receipts,) = (data for name, data in server.files().items() if name.endswith("-receipts.ndjson"))
    assert set(receipts.splitlines()) == bodies


def test_a_server_that_is_gone_and_comes_back(office: Office, server: Server, settings: Any) -> None:
    settings.THREADA_RETENTION_NOTICE_HOURS = 0
    items, _ = due(office)
    server.stop()
    run_jobs()
    keeping.enqueue_due_retention()
    run_jobs()
    nothing_is_removed(office, items)
    with unit_of_work(office.tenant.id):
        assert "ConnectionRefusedError" in RetentionRun.objects.get().failure
    server.start()
    keeping.enqueue_due_retention()
    run_jobs()
    assert office.count(WorkItem) == 0
    with unit_of_work(office.tenant.id):
        done = RetentionRun.objects.get()
    assert (done.status, done.failure, done.batches) == ("finished", "", 2)


def test_cases_that_change_while_they_are_sent_are_sent_again(
    office: Office, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (item,), _ = due(office)
    sent = []

    def send_and_change(target: Any, ahead: Any) -> None:
        send(target, ahead)
        sent.append(ahead)
        if len(sent) == 1:
            with unit_of_work(office.tenant.id):
                WorkItem.objects.filter(id=item.id).update(external_ref="changed meanwhile")

    send = retention_batches.send
    monkeypatch.setattr(retention_batches, "send", send_and_change)
    assert take_batch(now=clock.now(), ctx=office.system).contents == 1
    assert len(sent) == 2
    (told,) = office.bodies("retention.batch_applied")
    rows = server.files()[told["outcome"]["archive"]["files"][0]["name"]]
    assert b'"external_ref": "changed meanwhile"' in rows
    assert is_erased(office.item(item).payload)


def test_cases_that_always_change_are_kept(office: Office, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    items, _ = due(office)
    count = 0

    def change(*_: Any) -> None:
        nonlocal count
        count += 1
        with unit_of_work(office.tenant.id):
            WorkItem.objects.filter(id=items[0].id).update(external_ref=f"change {count}")

    monkeypatch.setattr(retention_batches, "send", change)
    with pytest.raises(ArchiveOutdated):
        run(office)
    assert count == 3
    nothing_is_removed(office, items)


def test_nothing_is_removed_without_having_been_sent(office: Office, server: Server) -> None:
    items, _ = due(office)
    with pytest.raises(ArchiveOutdated), unit_of_work(office.tenant.id):
        apply_batch(now=clock.now(), ctx=office.system)
    nothing_is_removed(office, items)
    assert server.files() == {}


def test_what_is_there_already_is_not_sent_again(
    office: Office, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    due(office)

    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("workitems.retention.archive_ahead.Ahead.contains", killed)
        with pytest.raises(KeyboardInterrupt):
            run(office)
    first = server.files()
    assert len(first) == 2
    name = next(name for name in first if name.endswith("-rows.ndjson"))
    (file,) = server.folder.rglob(name)
    file.write_bytes(first[name][:-10])  # as a server leaves it that lost its power
    assert run(office) == 2
    assert {name: server.files()[name] for name in first} == first
    assert server.renames()[:3] == [*[*first][::-1], name]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sftp://archive.example.org/kept", "in THREADA_ARCHIVE_URL is not installed: SFTPFileSystem requires"),
        ("s3://bucket/kept", "in THREADA_ARCHIVE_URL is not installed: Install s3fs to access S3"),
        ("memory://kept", "is not an address that stores files"),
        ("simplecache::s3://bucket/kept", "is not an address that stores files"),
        ("/just/a/folder", "is not an address that stores files"),
        ("nonsense://kept", "Protocol not known: nonsense"),
        ("https://archive.example.org/kept", "is not an address that stores files"),
        ("file://srv/archive", "is not an absolute local path. Write file:/// and the absolute path"),
        ("local://srv/archive", "is not an absolute local path. Write file:/// and the absolute path"),
        ("ftp://[::1/kept", "is invalid: Invalid IPv6 URL"),
    ],
)
def test_targets_that_cannot_be_used_are_said(
    office: Office, settings: Any, tmp_path: Path, url: str, said: str
) -> None:
    settings.THREADA_ARCHIVE_DIR = ""
    settings.THREADA_ARCHIVE_URL = url
    settings.THREADA_ARCHIVE_SPOOL_DIR = tmp_path
    items, _ = due(office)
    with pytest.raises(errors.ArchiveUnavailable, match=said) as failed:
        run(office)
    assert failed.value.detail.endswith("Nothing was removed.")
    nothing_is_removed(office, items)


def test_folder_and_address_together_are_refused(office: Office, server: Server, settings: Any) -> None:
    settings.THREADA_ARCHIVE_DIR = "/srv/archive"
    items, _ = due(office)
    with pytest.raises(errors.ArchiveUnavailable, match="both set"):
        run(office)
    nothing_is_removed(office, items)


def test_a_file_address_is_a_folder_of_this_machine(office: Office, settings: Any, tmp_path: Path) -> None:
    settings.THREADA_ARCHIVE_DIR = ""
    settings.THREADA_ARCHIVE_URL = f"file://{tmp_path}/kept"
    due(office)
    assert run(office) == 2
    assert len(list((tmp_path / "kept" / "acme").rglob("*-manifest.json"))) == 2


def test_options_that_cannot_be_read_are_said_without_their_contents(tmp_path: Path) -> None:
    file = tmp_path / "options.json"
    for text in ("{secret", '["secret"]'):
        file.write_text(text)
        with pytest.raises(errors.ArchiveUnavailable, match="THREADA_ARCHIVE_OPTIONS_FILE") as failed:
            Target("s3://bucket/kept", str(file))
        assert "secret" not in failed.value.detail
    with pytest.raises(errors.ArchiveUnavailable, match="cannot be read: No such file"):
        Target("s3://bucket/kept", str(tmp_path / "none"))


def test_what_is_shown_of_an_address() -> None:
    shown = Target("s3://key:secret@bucket:99/a/b/?sig=secret#secret").shown
    assert shown == "s3://bucket:99/a/b"


@pytest.mark.django_db(transaction=True)
def test_what_lies_there_verifies_after_download(office: Office, server: Server, tmp_path: Path) -> None:
    item = ended(office, days=800)
    kept = ended(office, days=10)
    put_rule(office, keep_payload="P90D", keep_receipts="P2Y", then="archive")
    dry_run(office)
    SealingSetup(tmp_path / "sealing").seal()
    with unit_of_work(office.tenant.id):
        bodies = {bytes(body) for body in Receipt.objects.filter(work_item_id=item.id).values_list("body", flat=True)}
    run(office)
    assert office.count(WorkItem) == 1
    assert office.item(kept).id == kept.id
    (evidence,) = server.folder.rglob("*-evidence.zip")
    [head] = office.api("ada").get("/checkpoints", {"limit": 1}).json()["data"]
    command = [sys.executable, str(VERIFIER), "--json", "--key", head["verifier_keys"][0], str(evidence)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})
    report = json.loads(done.stdout)
    assert (done.returncode, report["receipts"], report["findings"]) == (0, len(bodies), [])


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("where", "calls"),
    [("write", 0), ("put", 0), ("verify", 0), ("put", 1), ("verify", 1), ("empty", 0), ("put", 3), ("applied", 1)],
)
def test_a_kill_loses_nothing(office: Office, server: Server, settings: Any, where: str, calls: int) -> None:
    """`kill -9` at each step: afterwards every case is whole in the database or whole in the archive."""
    items, bodies = due(office, items=3)
    kill_retention(
        where,
        calls,
        THREADA_ARCHIVE_URL=settings.THREADA_ARCHIVE_URL,
        THREADA_ARCHIVE_OPTIONS_FILE=settings.THREADA_ARCHIVE_OPTIONS_FILE,
        THREADA_ARCHIVE_SPOOL_DIR=str(settings.THREADA_ARCHIVE_SPOOL_DIR),
    )
    payloads = payloads_left(office)
    assert payloads in (0, len(items))
    if payloads == 0:
        rows = archived_rows(server.files(), "000001")
        assert sum(row["table"] == "workitems_workitem" for row in rows) == len(items)
    assert bodies_of_cases(office) == bodies
    run(office)
    assert office.count(WorkItem) == 0
    files = server.files()
    for told in office.bodies("retention.batch_applied"):
        for file in told["outcome"]["archive"]["files"]:
            assert hashlib.sha256(files[file["name"]]).hexdigest() == file["sha256"]
