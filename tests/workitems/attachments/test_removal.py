"""Removal of files: with what they belong to, after the transaction, never under a legal hold."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from tests.jobs import run_jobs
from tests.workitems.attachments.files import PDF, path, row, take_files, uploaded
from tests.workitems.office import Office
from tests.workitems.people_cases import ALICE, found_in_tables
from tests.workitems.retention.archives import aged, dry_run, put_rule, run, seal_all
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, errors
from workitems.attachments import sweep
from workitems.attachments.sweep import sweep_files
from workitems.conversation.erase import sweep_removed
from workitems.executions.close_item import cancel_work_item
from workitems.models import Attachment, StoredFile, WorkItem
from workitems.retention.erasure import erase_principal, erase_subject
from workitems.retention.legal_holds import LegalHoldRequest, set_legal_hold

pytestmark = pytest.mark.django_db


def later(**passed: float) -> int:
    """Run the sweep at a later time. Return how many files it deleted."""
    return sweep_files(now=clock.now() + timedelta(**passed))


def ended_case(office: Office, *, days: float = 0, **payload: Any) -> tuple[WorkItem, str]:
    attachment_id = uploaded(office.api("rita"))
    item = office.decided(payload={"amount": 5, "invoice": {"attachment_id": attachment_id}, **payload})
    office.on_item(item, cancel_work_item)
    return aged(office, item, days=days), attachment_id


def read(office: Office, attachment_id: str, by: str = "ada") -> int:
    answer = office.api(by).get(f"/attachments/{attachment_id}/content")
    if answer.streaming:
        assert b"".join(answer.streaming_content) == PDF
    return int(answer.status_code)


def test_unused_files_are_deleted_after_a_day(office: Office) -> None:
    take_files(office)
    unused = path(office, uploaded(office.api("rita")))
    _, used = ended_case(office)
    assert later(hours=23) == 0
    assert unused.exists()
    assert later(hours=25) == 1
    assert not unused.exists()
    assert (office.count(Attachment), office.count(StoredFile)) == (1, 1)
    assert read(office, used) == 200
    with unit_of_work(office.tenant.id):  # a crash after the announcement, before the file
        Attachment.objects.filter(id=row(office, used).id).update(used_at=None)
    stored = path(office, used)
    stored.unlink()  # deleted before the sweep recorded it
    with platform_role():
        Attachment.objects.all().delete()
    assert later(hours=1) == 1
    assert office.count(StoredFile) == 0


def test_files_that_cannot_be_deleted_do_not_stop_the_others(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    take_files(office)
    monkeypatch.setattr(sweep, "_AT_ONCE", 2)
    stuck = [path(office, uploaded(office.api("rita"), PDF + bytes([number]))) for number in range(2)]
    free = path(office, uploaded(office.api("rita")))
    for place in stuck:  # a folder with something in it cannot be deleted as a file
        place.unlink()
        (place / "inner").mkdir(parents=True)
    assert (later(hours=25), free.exists()) == (0, True)
    assert (later(hours=25.2), free.exists()) == (1, False)
    assert office.count(StoredFile) == 2
    for place in stuck:
        (place / "inner").rmdir()
        place.rmdir()
    assert later(hours=25.5) == 0
    assert later(hours=27) == 2


def test_an_erased_person_takes_the_files_along(office: Office) -> None:
    schema = {"type": "object", "properties": {"amount": {"type": "integer"}, "person": {"type": "string"}}}
    invoice = {"type": "object", "x-threada": {"format": "file"}}
    schema["properties"] = {**schema["properties"], "invoice": invoice}
    office.upsert_workflow(payload_schema=schema, subject="/person")
    item, attachment_id = ended_case(office, person=ALICE)
    stored, key = path(office, attachment_id), bytes(row(office, attachment_id).file_key)
    assert found_in_tables("invoice.pdf", key.hex()) == set()
    assert read(office, attachment_id) == 200
    assert item.subject_id is not None
    with unit_of_work(office.tenant.id):
        erase_subject(item.subject_id, now=clock.now(), ctx=office.ctx("ada"))
    assert read(office, attachment_id) == 410  # at once, while the bytes still exist
    assert stored.exists()
    assert later(minutes=11) == 1
    assert not stored.exists()
    about = office.api("ada").get(f"/attachments/{attachment_id}").json()
    assert (about["name"], about["contents_erased"], about["size"]) == ("[erased: subject]", True, len(PDF))


def test_files_of_a_person_who_leaves_and_of_removed_comments(office: Office) -> None:
    take_files(office)
    item, attachment_id = ended_case(office)
    place = f"/work-items/{item.public_id}/comments"
    fay = office.api("fay")
    for_comment = [uploaded(fay, name=f"{number}.pdf") for number in range(2)]
    ids = [fay.post(place, {"text": "See.", "attachments": [one]}).json()["comment_id"] for one in for_comment]
    uploaded(fay)
    with unit_of_work(office.tenant.id):
        hold = set_legal_hold(LegalHoldRequest(reason="A court asked.", work_item_id=item.id), ctx=office.ctx("ada"))
    fay.delete(f"{place}/{ids[0]}")
    run_jobs()
    with pytest.raises(errors.UnderLegalHold), unit_of_work(office.tenant.id):
        erase_principal(office.people["fay"], ctx=office.ctx("ada"))
    assert later(minutes=11) == 0
    with platform_role():
        type(hold).objects.filter(id=hold.id).update(lifted_at=clock.now())
    assert sweep_removed() == 1
    assert later(minutes=11) == 1
    with unit_of_work(office.tenant.id):
        erase_principal(office.people["fay"], ctx=office.ctx("ada"))
    assert later(minutes=11) == 2
    assert read(office, for_comment[1]) == 410
    with unit_of_work(office.tenant.id):
        assert not Attachment.objects.filter(work_item=None).exists()
    assert read(office, attachment_id) == 200


def test_retention_archives_and_removes_files_but_not_under_a_legal_hold(
    office: Office, settings: Settings, tmp_path: Path
) -> None:
    settings.THREADA_ARCHIVE_DIR = str(tmp_path / "archive")
    take_files(office)
    item, attachment_id = ended_case(office, days=100)
    held, of_held = ended_case(office, days=100)
    stored, encrypted = path(office, attachment_id), path(office, attachment_id).read_bytes()
    with unit_of_work(office.tenant.id):
        set_legal_hold(LegalHoldRequest(reason="A court asked.", work_item_id=held.id), ctx=office.ctx("ada"))
    put_rule(office, keep_payload="P90D", keep_receipts="P2Y", then="archive")
    dry_run(office)
    assert run(office) == 1
    assert read(office, attachment_id) == 410
    assert read(office, of_held) == 200
    assert later(minutes=11) == 1
    assert (stored.exists(), path(office, of_held).exists()) == (False, True)
    (lines,) = (file for file in tmp_path.rglob("*-attachments.ndjson"))
    archived = json.loads(lines.read_text())
    assert archived == {"attachment_id": attachment_id, "content": base64.b64encode(encrypted).decode()}
    aged(office, item, days=800)
    dry_run(office)
    seal_all(office)
    assert run(office) == 1
    assert office.count(Attachment) == 1
