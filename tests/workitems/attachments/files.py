"""Files in tests: uploads through the API, a workflow with a file field, and the folder of the storage."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile

from tests.client import Api
from tests.workitems.office import BANK, WORKFLOW, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from workitems.models import Attachment, StoredFile

PDF = b"%PDF-1.7\nINVOICE-CANARY 4711\n" + b"more than one block\n" * 5_000
SHA256 = hashlib.sha256(PDF).hexdigest()
FILE: dict[str, Any] = {"type": "object", "x-threada": {"format": "file"}}


def upload(
    api: Api, content: bytes = PDF, name: str = "invoice.pdf", kind: str = "application/pdf", **more: Any
) -> Any:
    """Post a file. Return the response."""
    sent = {"file": SimpleUploadedFile("x", content, content_type=kind)}
    sent["file"]._name = name  # as it was sent: Django's own class cleans it  # type: ignore[attr-defined]
    headers = {**api.headers, **more.pop("headers", {})}
    return api.client.post("/attachments", {**sent, **more}, format="multipart", headers=headers)


def uploaded(api: Api, *args: Any, **more: Any) -> str:
    """Post a file. Return its id."""
    answer = upload(api, *args, **more)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["attachment_id"])


def take_files(office: Office, annotation: dict[str, Any] | None = None, **changes: Any) -> None:
    """Give the workflow a file field, and let the bank get the file as the body."""
    schema: dict[str, Any] = dict(WORKFLOW["payload_schema"])
    field = {**FILE, "x-threada": {"format": "file", **(annotation or {})}}
    properties = {**schema["properties"], "invoice": field, "more": {"type": "array", "items": FILE}}
    office.upsert_workflow(payload_schema={**schema, "properties": properties}, **changes)


def send_file(office: Office, base_url: str, **action: Any) -> None:
    pay = {"method": "POST", "path": "/payments", "resolves": True, **action}
    office.put_bank(base_url=base_url, actions={**BANK["actions"], "pay": pay})


def row(office: Office, attachment_id: str) -> Attachment:
    with unit_of_work(office.tenant.id):
        return Attachment.objects.get(id=ids.parse_public_id(ids.ATTACHMENT, attachment_id))


def path(office: Office, attachment_id: str) -> Path:
    """Return the place of a file in the folder of the storage."""
    with unit_of_work(office.tenant.id):
        stored = StoredFile.objects.get(id=ids.parse_public_id(ids.ATTACHMENT, attachment_id))
    return Path(settings.STORAGES["attachments"]["OPTIONS"]["location"]) / stored.path
