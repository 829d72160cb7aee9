"""Uploads: what is accepted, what is stored, and how payloads use files."""

from __future__ import annotations

import stat
import uuid
from typing import Any, ClassVar

import pytest
from pytest_django import Settings

from tests.workitems.attachments.files import FILE, PDF, SHA256, path, take_files, upload, uploaded
from tests.workitems.office import Office
from threada_site.database.unit_of_work import current_tenant_id, unit_of_work
from threada_site.kernel import clock, errors
from threada_site.tenancy.quotas.require import forget_counts
from workitems.attachments.upload import WRITTEN_WITHIN
from workitems.file_storage.folder import AttachmentFolder
from workitems.models import Attachment, StoredFile

pytestmark = pytest.mark.django_db


def test_a_file_is_uploaded_used_once_and_downloaded(office: Office) -> None:
    take_files(office)
    rita = office.api("rita")
    answer = upload(rita)
    about = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/attachments/{about['attachment_id']}"
    known = {"name": "invoice.pdf", "media_type": "application/pdf", "size": len(PDF), "sha256": SHA256}
    file = {"attachment_id": about["attachment_id"], **known}
    assert {name: about[name] for name in file} == file
    stored = path(office, about["attachment_id"])
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert b"CANARY" not in stored.read_bytes()

    body = {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": 5, "invoice": file}}
    made = rita.post("/work-items", body)
    assert made.status_code == 201, made.content
    item = made.json()["work_item_id"]
    assert rita.get(f"/work-items/{item}").json()["payload"]["invoice"] == file
    again = rita.post("/work-items", body)
    assert (again.status_code, again.json()["reason_code"]) == (422, "attachment_not_usable")
    assert again.json()["errors"][0]["pointer"] == "/payload/invoice"

    content = office.api("fay").get(f"/attachments/{about['attachment_id']}/content")
    assert b"".join(content.streaming_content) == PDF
    assert content.headers["Content-Disposition"] == 'attachment; filename="invoice.pdf"'
    assert content.headers["Content-Type"] == "application/octet-stream"
    assert content.headers["X-Content-Type-Options"] == "nosniff"
    assert content.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert office.api("fay").get(f"/attachments/{about['attachment_id']}").json()["work_item_id"] == item
    stored.unlink()
    gone = office.api("fay").get(f"/attachments/{about['attachment_id']}/content")
    assert (gone.status_code, gone.json()["reason_code"]) == (503, "attachment_unavailable")
    fay = office.api("fay")
    head = fay.client.head(f"/attachments/{about['attachment_id']}/content", headers=fay.headers)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(PDF))), "a HEAD request reads no file"


@pytest.mark.parametrize(
    ("content", "name", "kind", "code"),
    [
        (b"%PDF-1.7", "a.html", "text/html", "attachment_type_refused"),
        (b"<svg/>", "a.svg", "image/svg+xml", "attachment_type_refused"),
        (b"<script>", "a.pdf", "application/pdf", "attachment_type_refused"),
        (b"%PDF-1.7", "a.exe", "application/pdf", "attachment_type_refused"),
        (b"%PDF-1.7", "pdf", "application/pdf", "attachment_type_refused"),
        (b"a\x00b", "a.txt", "text/plain", "attachment_type_refused"),
        (b"a\xff", "a.csv", "text/csv", "attachment_type_refused"),
        (b"", "a.pdf", "application/pdf", "invalid_request"),
    ],
)
def test_files_of_other_types_are_refused(office: Office, content: bytes, name: str, kind: str, code: str) -> None:
    answer = upload(office.api("rita"), content, name, kind)
    assert (answer.status_code, answer.json()["reason_code"]) == (422, code)
    assert office.count(StoredFile) == 0


def test_names_lose_folders_and_invisible_characters(office: Office) -> None:
    rita = office.api("rita")
    for sent, kept in (
        ("../../etc/passwd.txt", "passwd.txt"),
        ("C:\\secret\\x.txt", "x.txt"),
        ("re\u202etxt.\u200bexe.txt", "retxt.exe.txt"),
        ("<img src=x onerror=alert(1)>.txt", "<img src=x onerror=alert(1)>.txt"),
        ("a" * 300 + ".txt", "a" * 145 + "….txt"),
    ):
        about = upload(rita, b"text", sent, "text/plain").json()
        assert about["name"] == kept
        stored = path(office, about["attachment_id"])
        assert stored.parent.parent.name == office.tenant.id.hex
        assert "txt" not in stored.name
        content = rita.get(f"/attachments/{about['attachment_id']}/content")
        assert b"".join(content.streaming_content) == b"text"
        assert "\n" not in content.headers["Content-Disposition"]


def test_limits_of_size_count_and_quota(office: Office, settings: Settings) -> None:
    take_files(office, {"types": ["image/png"], "max_bytes": 10})
    rita, ada = office.api("rita"), office.api("ada")
    settings.THREADA_MAX_ATTACHMENT_BYTES = 1_000
    assert upload(rita, b"%PDF-" + b"x" * 995).status_code == 201
    big = upload(rita, b"%PDF-" + b"x" * 996)
    assert (big.status_code, big.json()["reason_code"]) == (413, "attachment_too_large")
    settings.THREADA_MAX_BODY_BYTES = 1_000
    huge = upload(rita, b"%PDF-" + b"x" * 100_000)
    assert (huge.status_code, huge.json()["reason_code"]) == (413, "payload_too_large")
    for payload, said in (
        ({"invoice": {"attachment_id": uploaded(rita, b"%PDF-1")}}, "/payload/invoice"),
        ({"invoice": {}}, "/payload/invoice"),
        ({"more": [{"attachment_id": "att_x"}]}, "/payload/more/0"),
        (
            {"invoice": {"attachment_id": uploaded(rita, b"\x89PNG\r\n\x1a\n123", "a.png", "image/png")}},
            "/payload/invoice",
        ),
    ):
        sent = {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": 5, **payload}}
        refused = rita.post("/work-items", sent)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, said)
    many = {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": 5, "more": [0] * 30}}
    refused = rita.post("/work-items", many)
    assert [(error["pointer"], error["code"]) for error in refused.json()["errors"]] == [("/payload", "too_many")]
    about = upload(rita, b"\x89PNG\r\n\x1a\n1", "a.png", "image/png").json()
    lie = {**{name: about[name] for name in ("attachment_id", "name", "media_type", "size")}, "sha256": "0" * 64}
    sent = {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": 5, "invoice": lie}}
    assert rita.post("/work-items", sent).json()["reason_code"] == "attachment_not_usable"
    settings.THREADA_ATTACHMENT_TYPES = ["image/png"]
    assert upload(rita, b"%PDF-1").json()["reason_code"] == "attachment_type_refused"
    settings.THREADA_ATTACHMENT_TYPES = []
    settings.THREADA_MAX_ATTACHMENT_BYTES = 10
    assert upload(rita, b"%PDF-1").json()["reason_code"] == "rate_limited"  # too many unused bytes
    settings.THREADA_QUOTAS = {**settings.THREADA_QUOTAS, "stored_bytes": 0}
    forget_counts()
    assert upload(ada, b"%PDF-1").json()["reason_code"] == "quota_exceeded"


def test_an_upload_without_its_file_is_no_upload(office: Office, settings: Settings) -> None:
    rita = office.api("rita")
    key = {"Idempotency-Key": "once"}
    again = [upload(rita, headers=key).json()["attachment_id"] for _ in range(2)]
    assert again[0] == again[1]
    assert upload(rita, PDF + b"2", headers=key).json()["reason_code"] == "idempotency_key_reused"
    place = settings.STORAGES["attachments"]["OPTIONS"]["location"] / office.tenant.id.hex
    held = place.rename(place.with_name("held"))
    place.write_text("no folder")  # the storage is broken
    try:
        broken = upload(rita, headers={"Idempotency-Key": "twice"})
        assert (broken.status_code, broken.json()["reason_code"]) == (503, "attachment_unavailable")
    finally:
        place.unlink()
        held.rename(place)
    assert upload(rita, headers={"Idempotency-Key": "twice"}).status_code == 201
    for sent in ({}, {"file": "text"}, {"other": "x"}):
        assert rita.client.post("/attachments", sent, format="multipart", headers=rita.headers).status_code == 422
    assert rita.post("/attachments", {"file": "x"}).status_code == 415
    assert rita.send("POST", "/attachments", b"nonsense", content_type="multipart/form-data").status_code == 400


def test_an_upload_repeated_after_a_crash_writes_the_file(office: Office) -> None:
    rita, key = office.api("rita"), {"headers": {"Idempotency-Key": "one"}}
    first = uploaded(rita, **key)
    stored = path(office, first)
    stored.write_bytes(b"a part of it")
    with unit_of_work(office.tenant.id):
        Attachment.objects.update(stored_at=None)
    early = upload(rita, **key)
    assert (early.status_code, early.json()["reason_code"]) == (409, "idempotency_in_flight")
    with unit_of_work(office.tenant.id):
        Attachment.objects.update(created_at=clock.now() - WRITTEN_WITHIN)
    assert [uploaded(rita, **key), uploaded(rita, **key)] == [first, first]
    assert b"".join(rita.get(f"/attachments/{first}/content").streaming_content) == PDF


class WatchedFolder(AttachmentFolder):
    """Storage that notes in which tenant's unit of work files are opened."""

    tenants: ClassVar[list[uuid.UUID | None]] = []

    def _open(self, name: str, mode: str = "rb") -> Any:
        self.tenants.append(current_tenant_id())
        return super()._open(name, mode)  # type: ignore[misc]


def test_the_storage_is_read_outside_of_any_transaction(office: Office, settings: Settings) -> None:
    found = uploaded(office.api("rita"))
    watched = {**settings.STORAGES["attachments"], "BACKEND": f"{__name__}.WatchedFolder"}
    settings.STORAGES = {**settings.STORAGES, "attachments": watched}
    answer = office.api("rita").get(f"/attachments/{found}/content")
    assert (b"".join(answer.streaming_content), WatchedFolder.tenants) == (PDF, [None])


def test_a_change_keeps_files_and_takes_new_ones(office: Office) -> None:
    take_files(office)
    rita = office.api("rita")
    item = office.create(payload={"amount": 5, "invoice": {"attachment_id": uploaded(rita)}})
    place = f"/work-items/{item.public_id}"
    kept = rita.get(place).json()["payload"]
    more = {**kept, "more": [{"attachment_id": uploaded(rita, b"b", "b.txt", "text/plain")}]}
    changed = rita.patch(place, {"payload": more}, headers={"If-Match": "*"})
    assert changed.status_code == 200, changed.content
    after = rita.get(place).json()["payload"]
    assert (after["invoice"], after["more"][0]["name"]) == (kept["invoice"], "b.txt")
    other = office.create(payload={"amount": 5})
    stolen = rita.patch(f"/work-items/{other.public_id}", {"payload": kept}, headers={"If-Match": "*"})
    assert stolen.json()["reason_code"] == "attachment_not_usable"


def test_annotations_of_files_are_checked(office: Office) -> None:
    for schema in (
        {"type": "string", "x-threada": {"format": "file"}},
        {**FILE, "x-threada": {"format": "file", "types": ["text/html"]}},
        {**FILE, "x-threada": {"format": "file", "max_bytes": 0}},
        {**FILE, "x-threada": {"format": "file", "max": 5}},
    ):
        with pytest.raises(errors.DocumentInvalid):
            office.upsert_workflow(payload_schema={"type": "object", "properties": {"invoice": schema}})
