"""Buttons that end or replace something: a page says what changes and takes a reason, and only then it happens."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from telemetry.models import Receipt, ReceiptReason
from tests.console.sign_in import CONFIRMED, Console, confirm
from tests.factories import make_principal
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.json.canonical import commitment

EDITOR = "/console/policies/policy/payments/new-draft/"


def overlay_page(browser: Any) -> str:
    return re.findall(
        r'href="(/console/policies/overlay/ov_\w+)/"', browser.get("/console/policies/overlay/").content.decode()
    )[0]


def receipts(demo: Demo, kind: str) -> list[Receipt]:
    with unit_of_work(demo.tenant.id):
        return list(Receipt.objects.filter(kind=kind).order_by("-id"))


def test_the_button_asks_first_and_the_reason_is_kept_with_the_receipt(demo: Demo, console: Console) -> None:
    browser = console("admin")
    page = overlay_page(browser)
    before = len(receipts(demo, "overlay.removed"))
    asked = browser.post(f"{page}/remove/", {"note": '"><script>'})
    assert asked.status_code == 200
    text = asked.content.decode()
    assert "no longer applies to" in text
    assert '<input type="hidden" name="note" value="&quot;&gt;&lt;script&gt;">' in text
    for reason in ("", "no", " " * 50, "x" * 1001):
        again = browser.post(f"{page}/remove/", {"confirmed": "yes", "given_reason": reason})
        assert again.status_code == 422
    assert browser.post(f"{page}/remove/", {"given_reason": "A reason alone does not confirm."}).status_code == 200
    assert browser.get(f"{page}/").status_code == 200
    assert len(receipts(demo, "overlay.removed")) == before
    done = confirm(browser, f"{page}/remove/", {"given_reason": "Replaced by <b>payments</b>."})
    assert done.status_code == 302
    assert browser.get(f"{page}/").status_code == 404
    receipt = receipts(demo, "overlay.removed")[0]
    body = orjson.loads(bytes(receipt.body))
    assert "Replaced by" not in bytes(receipt.body).decode()
    with unit_of_work(demo.tenant.id):
        kept = ReceiptReason.objects.get(receipt_id=receipt.id)
    assert body["inputs"]["given_reason_commitment"] == commitment(bytes(kept.salt), kept.reason)
    shown = browser.get(f"/console/telemetry/receipt/{receipt.public_id}/").content.decode()
    assert "Replaced by &lt;b&gt;payments&lt;/b&gt;." in shown


def test_publishing_shows_the_difference(demo: Demo, console: Console) -> None:
    browser = console("admin")
    text = str(browser.get(EDITOR).context["form"]["document"].value()).replace("1000000", "500000")
    version = browser.post(EDITOR, {"document": text})["Location"]
    digest = browser.get(version).context["row"].document_sha256
    publish = f"{version}publish/"
    asked = browser.post(publish, {"document_sha256": digest, "applies_to_open": "on"}).content.decode()
    assert "<del>1000000</del>" in asked
    assert "<ins>500000</ins>" in asked
    assert "It replaces version 1." in asked
    assert "It applies to: " in asked
    assert f'name="document_sha256" value="{digest}"' in asked
    assert "Decisions that wait for people are evaluated again" in asked
    assert browser.get(version).context["row"].status == "draft"
    confirm(browser, publish, {"document_sha256": digest})
    assert browser.get(version).context["row"].status == "published"
    retire = f"{version}retire/"
    assert "Without a version in force the policy denies." in browser.post(retire).content.decode()
    assert browser.get(version).context["row"].status == "published"


def test_only_what_was_shown_is_confirmed(demo: Demo, console: Console) -> None:
    browser = console("admin")
    text = str(browser.get(EDITOR).context["form"]["document"].value())
    second, third = (
        browser.post(EDITOR, {"document": text.replace("1000000", limit)})["Location"] for limit in ("500000", "900000")
    )
    sent = {"document_sha256": browser.get(third).context["row"].document_sha256}
    asked = browser.post(f"{third}publish/", sent).content.decode()
    (shown,) = re.findall(r'name="shown" value="(\w{64})"', asked)
    confirm(browser, f"{second}publish/", {"document_sha256": browser.get(second).context["row"].document_sha256})
    for digest in (shown, "", "0" * 64):
        stale = browser.post(f"{third}publish/", {**sent, **CONFIRMED, "shown": digest}, follow=True)
        assert "has changed since it was shown" in stale.content.decode()
        assert browser.get(third).context["row"].status == "draft"
    confirm(browser, f"{third}publish/", sent)
    assert browser.get(third).context["row"].status == "published"


def test_who_may_not_press_the_button_learns_nothing(demo: Demo, console: Console) -> None:
    page = overlay_page(console("admin"))
    asked = console("finance-1").post(f"{page}/remove/")
    assert asked.status_code == 302
    assert console("admin").post("/console/policies/overlay/ov_01h45ytscbebyvny4gc8cr8ma2/remove/").status_code == 404
    assert console("admin").get(f"{page}/remove/").status_code == 405


@pytest.mark.parametrize("button", ["remove", "end-sessions"])
def test_people_are_not_removed_at_once(demo: Demo, console: Console, button: str) -> None:
    person = make_principal(demo.tenant, "zoe", roles=["operator"])
    browser = console("admin")
    page = f"/console/tenancy/membership/{person.public_id}/"
    assert "zoe" in browser.post(f"{page}{button}/").content.decode()
    assert browser.get(page).status_code == 200
