"""Files in request forms and comments, as a browser without scripts sends them, and their download."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from tests.console.portal.forms import FORM, put_workflow, send
from tests.console.sign_in import Console
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from workitems.models import Attachment, WorkItem

PDF = b"%PDF-1.7 CANARY"


def pdf(content: bytes = PDF, name: str = "invoice.pdf") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, content_type="application/pdf")


@pytest.fixture
def rita(demo: Demo, console: Console) -> Client:
    demo.join("rita", roles=("requester",))
    invoice = {"type": "object", "title": "Invoice", "x-threada": {"format": "file", "types": ["application/pdf"]}}
    schema = {
        "type": "object",
        "required": ["vendor", "invoice"],
        "properties": {
            "vendor": {"type": "string", "minLength": 1},
            "amount_minor": {"type": "integer", "default": 900},
            "invoice": invoice,
            "offer": {**invoice, "title": "Offer"},
        },
    }
    declared = {"action": "pay", "integration": "int_bank", "channel": "web_main"}
    put_workflow(demo, payload_schema=schema, request=declared, title=None, summary=None, related_by=None)
    return console("rita")


def fill(browser: Client, **sent: Any) -> Any:
    return send(
        browser, **{"vendor": "Hooli", "amount_minor": "900", "invoice": "", "_shown": ["/invoice", "/offer"], **sent}
    )


def test_a_file_is_chosen_kept_sent_and_downloaded(demo: Demo, rita: Client, console: Console) -> None:
    page = rita.get(FORM).content.decode()
    assert 'enctype="multipart/form-data"' in page
    assert 'accept=".pdf"' in page
    missing = fill(rita)
    assert (missing.status_code, "Enter a value." in missing.content.decode()) == (422, True)
    refused = fill(rita, invoice=pdf(b"<html>"))
    assert refused.status_code == 422
    assert "attachment" not in re.findall(r"<h2>.*?</h2>", refused.content.decode())
    assert 'id="p_2f_invoice-error"' in refused.content.decode()
    kept = fill(rita, vendor="", invoice=pdf())
    assert kept.status_code == 422
    assert "invoice.pdf (15 bytes)" in kept.content.decode()
    (chosen,) = re.findall(r'name="p/invoice" value="(att_\w+)"', kept.content.decode())
    done = fill(rita, invoice=chosen)
    assert done.status_code == 302, re.findall(r"t-bad.*?</div>", done.content.decode(), re.DOTALL)
    with unit_of_work(demo.tenant.id):
        item = WorkItem.objects.get(requester__username="rita")
    assert item.payload["invoice"]["name"] == "invoice.pdf"
    own = rita.get(done["Location"]).content.decode()
    address = reverse("admin:attachment", args=[chosen])
    assert f'href="{address}" download>invoice.pdf (15 bytes)' in own
    assert item.payload["invoice"]["sha256"] in own
    for name in ("rita", "admin"):
        content = console(name).get(address)
        assert b"".join(content.streaming_content) == PDF
        assert content["Content-Disposition"] == 'attachment; filename="invoice.pdf"'
        assert content["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    demo.join("otto", roles=("requester",))
    otto = console("otto")
    assert otto.get(address).status_code == 404
    stolen = fill(otto, invoice=chosen)
    assert (stolen.status_code, "uploaded" in stolen.content.decode()) == (422, True)
    assert rita.get(f"{FORM}?invoice={chosen}").content.decode().count(chosen) == 0
    optional = fill(rita, vendor="", invoice=pdf(), offer=pdf(name="offer.pdf")).content.decode()
    (offer,) = re.findall(r'name="p/offer" value="(att_\w+)"', optional)
    without = fill(rita, vendor="", offer=offer, _without="/offer").content.decode()
    assert offer not in without


def test_files_of_comments(demo: Demo, rita: Client, console: Console) -> None:
    done = fill(rita, invoice=pdf())
    assert done.status_code == 302, re.findall(r"t-bad.*?</div>", done.content.decode(), re.DOTALL)
    with unit_of_work(demo.tenant.id):
        item = WorkItem.objects.get(requester__username="rita")
    button = reverse("admin:workitems_workitem_comment", args=[item.public_id])
    sent = {"text": "See the offer.", "back": done["Location"], "files": [pdf(name="a.pdf"), pdf(name="b.pdf")]}
    assert rita.post(button, sent).status_code == 302
    page = rita.get(done["Location"]).content.decode()
    with unit_of_work(demo.tenant.id):
        rows = list(Attachment.objects.exclude(comment=None).order_by("id"))
    assert [str(row.name) for row in rows] == ["a.pdf", "b.pdf"]
    for row in rows:
        assert reverse("admin:attachment", args=[row.public_id]) in page
    refused = rita.post(button, {**sent, "files": [pdf(b"<svg>")]}, follow=True)
    assert "attachment_type_refused" in refused.content.decode()
    with unit_of_work(demo.tenant.id):
        assert Attachment.objects.exclude(comment=None).count() == 2
