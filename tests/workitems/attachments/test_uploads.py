"""Uploads: what is accepted, what is stored, and how payloads use files."""

from __future__ import annotations

import stat

import pytest

from tests.workitems.attachments.files import PDF, SHA256, path, take_files, upload
from tests.workitems.office import Office

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
