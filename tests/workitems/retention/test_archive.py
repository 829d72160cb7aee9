"""Archiving: what is removed is on disk, whole, before it is removed; a full disk or a kill loses nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from telemetry.models import Receipt
from tests.jobs import run_jobs
from tests.workitems.office import Office
from tests.workitems.retention.archives import (
    bodies_of_cases,
    dry_run,
    ended,
    kill_retention,
    payloads_left,
    put_rule,
    run,
    seal_all,
)
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.personal_data.erasable_fields import is_erased
from workitems.models import RetentionRun, WorkItem
from workitems.retention import sweep as keeping


@pytest.fixture
def archive(tmp_path: Path, settings: Any) -> Path:
    settings.THREADA_ARCHIVE_DIR = str(tmp_path / "archive")
    return tmp_path / "archive" / "acme"


def lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def test_an_archive_holds_rows_and_receipts_byte_for_byte(office: Office, archive: Path) -> None:
    old = ended(office, days=800, evidence=[{"title": "Invoice"}])
    put_rule(office, keep_payload="P90D", keep_receipts="P2Y", then="archive")
    with unit_of_work(office.tenant.id):
        bodies = list(Receipt.objects.filter(work_item_id=old.id).order_by("id").values_list("body", flat=True))
    dry_run(office)
    seal_all(office)
    assert run(office) == 2
    folder = next(archive.iterdir())
    names = sorted(file.name for file in folder.iterdir())
    assert names == [
        "000001-manifest.json", "000001-rows.ndjson",
        "000002-manifest.json", "000002-receipts.ndjson", "000002-rows.ndjson",
    ]  # fmt: skip
    assert (folder / "000002-receipts.ndjson").read_bytes() == b"".join(bytes(body) + b"\n" for body in bodies)
    rows = lines(folder / "000001-rows.ndjson")
    assert rows[0]["table"] == "workitems_workitem"
    assert rows[0]["row"]["payload"] == {"amount": 500}
    assert {row["table"] for row in rows} >= {"workitems_vote", "integrations_envelope", "policies_policydecision"}
    vote = next(row["row"] for row in rows if row["table"] == "workitems_vote")
    assert vote["comment"] == "Not without the invoice, says Fay."
    for number, body in enumerate(office.bodies("retention.batch_applied"), start=1):
        manifest = json.loads((folder / f"{number:06d}-manifest.json").read_text())
        assert manifest["rules"][0]["then"] == "archive"
        for file in body["outcome"]["archive"]["files"]:
            assert hashlib.sha256((folder / file["name"]).read_bytes()).hexdigest() == file["sha256"]
        for file in manifest["files"]:
            found = (folder / file["name"]).read_bytes()
            assert (hashlib.sha256(found).hexdigest(), len(found)) == (file["sha256"], file["size"])
            assert found.count(b"\n") == file["lines"]
    assert (folder / "000001-rows.ndjson").stat().st_mode & 0o077 == 0
    assert office.count(WorkItem) == 0


def test_without_a_folder_nothing_is_removed(office: Office, settings: Any) -> None:
    settings.THREADA_ARCHIVE_DIR = ""
    settings.THREADA_RETENTION_NOTICE_HOURS = 0
    old = ended(office, days=100)
    put_rule(office, keep_payload="P90D", then="archive")
    dry_run(office)
    with pytest.raises(errors.ArchiveUnavailable):
        run(office)
    run_jobs()
    keeping.enqueue_due_retention()
    run_jobs()
    assert not is_erased(office.item(old).payload)
    with unit_of_work(office.tenant.id):
        assert RetentionRun.objects.get().failure.endswith("Nothing was removed.")


@pytest.mark.parametrize("fails", ["write", "fsync", "replace"])
def test_a_full_disk_loses_nothing(office: Office, archive: Path, monkeypatch: Any, fails: str) -> None:
    """The disk says no at each point in turn; the run continues once there is free space."""
    old = ended(office, days=800)
    put_rule(office, keep_payload="P90D", keep_receipts="P2Y", then="archive")
    dry_run(office)
    seal_all(office)

    def full(*_args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        if fails == "replace":
            patched.setattr(Path, "replace", full)
        elif fails == "fsync":
            patched.setattr(os, "fsync", full)
        else:
            archive.parent.mkdir()
            patched.setattr(os, "open", _on_dev_full)
        with pytest.raises(errors.ArchiveUnavailable, match="No space left"):
            run(office)
    assert office.item(old).payload == {"amount": 500}
    assert [file for file in archive.rglob("*") if file.is_file()] == []
    assert run(office) == 2
    assert office.count(WorkItem) == 0


_open = os.open


def _on_dev_full(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
    """Files that are written land on a device that is always full."""
    return _open("/dev/full", os.O_WRONLY) if str(path).endswith(".partial") else _open(path, flags, mode, **more)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("where", "calls"),
    [("write", 0), ("write", 1), ("write", 2), ("empty", 0), ("remove", 0), ("applied", 0), ("applied", 1)],
)
def test_a_kill_loses_nothing(office: Office, archive: Path, where: str, calls: int) -> None:
    """`kill -9` at each step of a run: afterwards every case is whole in the database or whole in the archive."""
    items = [ended(office, days=800) for _ in range(3)]
    put_rule(office, keep_payload="P90D", keep_receipts="P2Y", then="archive")
    dry_run(office)
    seal_all(office)
    bodies = bodies_of_cases(office)
    kill_retention(where, calls, THREADA_ARCHIVE_DIR=str(archive.parent))
    payloads = payloads_left(office)
    if payloads == 0:
        archived = [row for file in archive.rglob("000001-rows.ndjson") for row in lines(file)]
        assert sum(row["table"] == "workitems_workitem" for row in archived) == len(items)
    assert payloads in (0, len(items))
    assert bodies_of_cases(office) == bodies
    _wait_for_locks()
    run(office)
    assert office.count(WorkItem) == 0
    receipts = next(archive.rglob("*-receipts.ndjson")).read_bytes().splitlines()
    assert set(receipts) == bodies


def _wait_for_locks() -> None:
    """Wait until the server has ended the transaction of a killed client."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
            if cursor.fetchone() == (0,):
                return
        time.sleep(0.1)
