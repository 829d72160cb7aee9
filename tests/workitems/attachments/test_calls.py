"""Files in calls: sealed in the envelope, checked before anything is sent, streamed to the receiver."""

from __future__ import annotations

import io
from typing import Any

import orjson
import pytest
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http.multipartparser import MultiPartParser

from integrations.configuration.configure import upsert_integration
from integrations.lifecycle import ExecutionStatus
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.attachments.files import PDF, SHA256, path, row, send_file, take_files, uploaded
from tests.workitems.office import Office
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from workitems.models import Attachment

pytestmark = pytest.mark.django_db


def approved(office: Office, attachment_id: str, amount: int = 500) -> Any:
    """Create a payment with an invoice that two people approve; it is queued."""
    item = office.decided(payload={"amount": amount, "invoice": {"attachment_id": attachment_id}})
    started = office.execute(item)
    for name in ("fay", "finn"):
        office.vote(started.step, name)
    return started.execution


def test_the_bytes_that_were_approved_are_sent(office: Office, bank: Receiver) -> None:
    take_files(office)
    send_file(office, bank.url, file="${item.payload.invoice}")
    attachment_id = uploaded(office.api("rita"))
    execution = approved(office, attachment_id)
    envelope = orjson.loads(bytes(office.execution(execution).envelope.body))
    assert envelope["request"]["file"] == {
        "attachment_id": attachment_id,
        "name": "invoice.pdf",
        "media_type": "application/pdf",
        "size": len(PDF),
        "sha256": SHA256,
    }
    run_jobs()
    assert office.execution(execution).status == ExecutionStatus.SUCCEEDED
    (sent,) = bank.requests()
    assert (sent["headers"]["content-type"], sent["headers"]["content-length"]) == ("application/pdf", str(len(PDF)))
    assert sent["body"].encode() == PDF


@pytest.mark.parametrize("change", ["flipped", "another_file", "deleted", "row_changed"])
def test_a_file_that_is_not_the_approved_one_is_not_sent(office: Office, bank: Receiver, change: str) -> None:
    take_files(office)
    send_file(office, bank.url, multipart=[{"name": "invoice", "file": "${item.payload.invoice}"}])
    attachment_id, other = uploaded(office.api("rita")), uploaded(office.api("rita"), PDF + b"2")
    execution = approved(office, attachment_id)
    stored = path(office, attachment_id)
    if change == "flipped":
        content = bytearray(stored.read_bytes())
        content[40] ^= 1
        stored.write_bytes(content)
    elif change == "another_file":
        stored.write_bytes(path(office, other).read_bytes())
    elif change == "deleted":
        stored.unlink()
    else:
        with platform_role():
            Attachment.objects.filter(id=row(office, attachment_id).id).update(sha256="0" * 64)
    run_jobs()
    ended = office.execution(execution)
    assert (ended.status, ended.failure) == (ExecutionStatus.FAILED, "attachment_mismatch")
    assert bank.requests() == []
    (body,) = office.bodies("execution.failed")
    assert body["outcome"]["failure"] == "attachment_mismatch"


def test_a_form_carries_texts_and_files(office: Office, bank: Receiver) -> None:
    take_files(office)
    parts = [
        {"name": "invoice", "file": "${item.payload.invoice}"},
        {"name": "amount", "value": "${item.payload.amount}"},
    ]
    send_file(office, bank.url, multipart=parts)
    execution = approved(office, uploaded(office.api("rita"), name="Rechnung März.pdf"))
    run_jobs()
    assert office.execution(execution).status == ExecutionStatus.SUCCEEDED
    (sent,) = bank.requests()
    kind = sent["headers"]["content-type"]
    form, files = MultiPartParser(
        {"CONTENT_TYPE": kind, "CONTENT_LENGTH": str(len(sent["body"].encode()))},
        io.BytesIO(sent["body"].encode()),
        [MemoryFileUploadHandler()],
    ).parse()
    assert (form["amount"], files["invoice"].read()) == ("500", PDF)
    assert files["invoice"].name == "Rechnung März.pdf"


def test_a_simulated_call_checks_files_too(office: Office) -> None:
    take_files(office)
    with unit_of_work(office.tenant.id):
        pay = {"answer": {"ok": True}, "files": ["${item.payload.invoice}"]}
        upsert_integration("bank", {"connector": "mock", "actions": {"pay": pay}}, ctx=office.system)
    attachment_id = uploaded(office.api("rita"))
    execution = approved(office, attachment_id)
    run_jobs()
    ended = office.execution(execution)
    assert ended.status == ExecutionStatus.SUCCEEDED
    assert ended.result["files"][0]["sha256"] == SHA256
    again = approved(office, other := uploaded(office.api("rita")))
    path(office, other).write_bytes(b"x")
    run_jobs()
    assert office.execution(again).failure == "attachment_mismatch"


def test_an_action_sends_no_file_of_another_case(office: Office) -> None:
    take_files(office)
    send_file(office, "http://127.0.0.1:9", file="${input.file}")
    first = office.decided(payload={"amount": 500, "invoice": {"attachment_id": uploaded(office.api("rita"))}})
    second = office.decided(payload={"amount": 500})
    with pytest.raises(errors.ExpressionFailed):
        office.execute(second, input={"file": first.payload["invoice"]})
    with pytest.raises(errors.ExpressionFailed):
        office.execute(second, input={"file": "invoice.pdf"})
    assert office.execute(first, input={"file": first.payload["invoice"]}).step is not None
