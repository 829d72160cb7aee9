"""Attachments on S3 through django-storages, at a real server: uploads, reads, damage, erasure, and failures."""

from __future__ import annotations

import io
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.storage import storages
from pytest_django import Settings

from tests.receivers.s3_process import s3_server
from tests.workitems.attachments.files import PDF, row, take_files, upload, uploaded
from tests.workitems.office import Office
from tests.workitems.people_cases import ALICE
from tests.workitems.retention.archives import aged
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from workitems.attachments.selectors import stored_path
from workitems.attachments.sweep import sweep_files
from workitems.executions.close_item import cancel_work_item
from workitems.models import Attachment, StoredFile
from workitems.retention.erasure import erase_subject

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def use_s3(settings: Settings, url: str, bucket: str = "threada") -> None:
    options = {
        "bucket_name": bucket,
        "endpoint_url": url,
        "access_key": "test",
        "secret_key": "test",
        "region_name": "us-east-1",
        "file_overwrite": False,
        "default_acl": None,
        "querystring_auth": True,
    }
    attachments = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "attachments": attachments}


def read(office: Office, attachment_id: str) -> tuple[int, Any]:
    answer = office.api("rita").get(f"/attachments/{attachment_id}/content")
    if answer.streaming:
        return answer.status_code, b"".join(answer.streaming_content)
    return answer.status_code, answer.json()["reason_code"]


def place(office: Office, attachment_id: str) -> str:
    with unit_of_work(office.tenant.id):
        return stored_path(row(office, attachment_id))


def erase_a_person(office: Office, bucket: Any) -> None:
    """Erase the subject of an ended case: the file cannot be read at once, and then leaves the bucket."""
    file = {"type": "object", "x-threada": {"format": "file"}}
    properties = {"amount": {"type": "integer"}, "person": {"type": "string"}, "invoice": file}
    office.upsert_workflow(payload_schema={"type": "object", "properties": properties}, subject="/person")
    attachment_id = uploaded(office.api("rita"))
    case = office.decided(payload={"amount": 5, "person": ALICE, "invoice": {"attachment_id": attachment_id}})
    office.on_item(case, cancel_work_item)
    case, name = aged(office, case, days=0), place(office, attachment_id)
    assert case.subject_id is not None
    with unit_of_work(office.tenant.id):
        erase_subject(case.subject_id, now=clock.now(), ctx=office.ctx("ada"))
    assert (read(office, attachment_id)[0], bucket.exists(name)) == (410, True)
    assert sweep_files(now=clock.now() + timedelta(minutes=11)) == 1
    assert not bucket.exists(name)


def test_files_live_on_s3(office: Office, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    unavailable = (503, "attachment_unavailable")
    with s3_server() as server:
        monkeypatch.setattr(sys, "path", [*sys.path, server.packages])
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        use_s3(settings, server.url)
        take_files(office)
        kept, damaged, cut, gone = (uploaded(office.api("rita")) for _ in range(4))
        bucket: Any = storages["attachments"]
        with bucket.open(place(office, kept), "rb") as stored:
            assert b"CANARY" not in stored.read()
        item = office.decided(payload={"amount": 5, "invoice": {"attachment_id": kept}})
        assert read(office, kept) == (200, PDF)

        with bucket.open(place(office, damaged), "rb") as stored:
            content = bytearray(stored.read())
        content[40] ^= 1
        for attachment_id, changed in ((damaged, bytes(content)), (cut, bytes(content[:20]))):
            name = place(office, attachment_id)
            bucket.delete(name)
            assert bucket.save(name, io.BytesIO(changed)) == name
            assert read(office, attachment_id) == unavailable
        bucket.delete(place(office, gone))
        assert read(office, gone) == unavailable

        paths = [place(office, attachment_id) for attachment_id in (kept, damaged, cut)]
        assert sweep_files(now=clock.now() + timedelta(hours=25)) == 3
        assert [bucket.exists(name) for name in paths] == [True, False, False]
        assert (office.count(Attachment), office.count(StoredFile)) == (1, 1)

        erase_a_person(office, bucket)

        use_s3(settings, server.url, "nobody")
        assert upload(office.api("rita")).json()["reason_code"] == "attachment_unavailable"
        assert read(office, kept) == unavailable
        use_s3(settings, server.url)
        assert read(office, kept) == (200, PDF)

        server.stop()
        broken = upload(office.api("rita"))
        assert (broken.status_code, broken.json()["reason_code"]) == unavailable
        assert read(office, kept) == unavailable
        assert sweep_files(now=clock.now() + timedelta(hours=25)) == 0
        assert office.item(item).payload["invoice"]["attachment_id"] == kept
