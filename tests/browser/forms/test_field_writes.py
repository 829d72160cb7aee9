"""Scripts change no field that a person has filled in: choosing a file, redrawn forms, and every form of the console."""

from __future__ import annotations

import re
from collections import deque
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.forms.field_writes import entries, record_writes, writes
from tests.browser.scene import morning
from tests.browser.watched import Watched, opened
from tests.console.portal.forms import put_workflow, stored
from tests.factories import PASSWORD, acting_system
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.passwords import set_password
from threada_site.tenancy.models import User
from workitems.models import WorkItem

pytestmark = pytest.mark.browser

INVOICE: Final[Any] = {"name": "invoice.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7 invoice"}
FILE: Final = {"type": "object", "x-threada": {"format": "file", "types": ["application/pdf"]}}
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["vendor", "amount_minor", "currency", "invoice"],
    "properties": {
        "vendor": {"type": "string", "title": "Vendor", "minLength": 1, "maxLength": 100},
        "amount_minor": {
            "type": "integer",
            "title": "Amount",
            "minimum": 1,
            "x-threada": {"format": "money", "currency": {"pointer": "/currency"}},
        },
        "currency": {"enum": ["EUR", "CHF", "JPY"], "default": "EUR", "title": "Currency"},
        "note": {"type": "string", "title": "Note", "maxLength": 1000},
        "lines": {
            "type": "array",
            "title": "Line",
            "items": {"type": "object", "properties": {"text": {"type": "string", "maxLength": 100}}},
        },
        "invoice": {**FILE, "title": "Invoice"},
        "offer": {**FILE, "title": "Offer"},
    },
}
FORM: Final = "/console/request/payment_run"
ID: Final = re.compile(r"[a-z]+_[0-9a-z]{26}|[0-9a-f-]{36}|\d+")
WITHOUT_FORM: Final = re.compile(r"/(logout|download|jsi18n|export)\b|\.(csv|json|ndjson|md)$")
MOST_PAGES: Final = 90


@pytest.fixture
def rita(demo: Demo) -> Demo:
    demo.join("rita", roles=("requester",))
    with unit_of_work(demo.tenant.id):
        set_password(User.objects.get(username="rita"), PASSWORD, ctx=acting_system(demo.tenant))
    declared = {"action": "pay", "integration": "int_bank", "channel": "web_main"}
    put_workflow(demo, payload_schema=SCHEMA, request=declared, title=None, summary=None, related_by=None)
    return demo


def watched_as(name: str, chromium: Browser, server: str) -> Watched:
    watched = opened(chromium, server).watched
    record_writes(watched.page.context)
    watched.sign_in(name, PASSWORD)
    return watched


def redraw(page: Page, how: str) -> None:
    """Draw the form again, by a script or by the server."""
    form = page.locator("#request-form form")
    form.evaluate("element => { element.dataset.old = 'yes' }")
    if how == "currency":
        page.select_option("[name='p/currency']", label="CHF")
    elif how == "row-added":
        page.click("button[name=_add]")
    elif how == "row-removed":
        page.click("button[name=_add]")
        page.click("button[name=_remove]")
        expect(page.locator("button[name=_remove]")).to_have_count(0)
    elif how == "refused":
        page.fill("[name='p/amount_minor']", "much")
        page.click("button.t-primary:has-text('Send request')")
        expect(page.locator("#problems")).to_be_visible()
        page.fill("[name='p/amount_minor']", "12.50")
    elif how == "draft":
        page.click("button[name=_save]")
        page.goto("/console/requests/")
        page.click("a:has-text('Continue'), a[href*='draft']")
    if how != "loaded":
        expect(page.locator("#request-form form[data-old]")).to_have_count(0)


@pytest.mark.parametrize("how", ["loaded", "currency", "row-added", "row-removed", "refused", "draft"])
def test_choosing_a_file_changes_no_other_field(rita: Demo, chromium: Browser, server: str, how: str) -> None:
    watched = watched_as("rita", chromium, server)
    page = watched.page
    page.goto(FORM)
    page.fill("[name='p/vendor']", "Hooli")
    page.fill("[name='p/amount_minor']", "12.50")
    page.fill("[name='p/note']", "urgent")
    redraw(page, how)
    before = entries(page)
    page.set_input_files("input[type=file][name='p/invoice']", INVOICE)
    page.set_input_files("input[type=file][name='p/offer']", {**INVOICE, "name": "offer.pdf"})
    page.focus("[name='p/note']")
    assert entries(page) == before
    assert dict(before)["p/vendor"] == "Hooli"
    assert writes(page) == []
    page.click("button.t-primary:has-text('Send request')")
    page.wait_for_url("**/console/requests/wi_*/")
    with unit_of_work(rita.tenant.id):
        payload = WorkItem.objects.latest("id").payload
    lines = {"lines": [{}]} if how == "row-added" else {}
    assert (payload.pop("invoice")["name"], payload.pop("offer")["name"]) == ("invoice.pdf", "offer.pdf")
    assert payload.pop("lines", []) == lines.get("lines", [])
    currency = "CHF" if how == "currency" else "EUR"
    assert payload == {"vendor": "Hooli", "amount_minor": 1250, "currency": currency, "note": "urgent"}
    assert [one for one in watched.complaints if "422" not in one] == []


def test_choosing_a_file_for_a_comment_changes_no_other_field(demo: Demo, chromium: Browser, server: str) -> None:
    scene = morning(demo)
    watched = watched_as("finance-1", chromium, server)
    page = watched.page
    for address in (f"/console/workitems/workitem/{scene.item}/", f"/console/workitems/decisionstep/{scene.changed}/"):
        page.goto(address)
        for area in page.locator("main textarea").all():
            if area.is_visible():
                area.fill("typed by hand")
        before = entries(page)
        page.set_input_files("input[type=file][name=files]", INVOICE)
        assert entries(page) == before
        assert writes(page) == []
    assert watched.complaints == []


@pytest.mark.parametrize("how", ["currency", "row-added"])
def test_entries_made_while_the_form_is_redrawn_stay(rita: Demo, chromium: Browser, server: str, how: str) -> None:
    watched = watched_as("rita", chromium, server)
    page = watched.page
    held: list[Route] = []
    page.goto(FORM)
    page.fill("[name='p/vendor']", "Hooli")
    page.route(f"**{FORM}", lambda route: held.append(route) if route.request.method == "POST" else route.continue_())
    with page.expect_request(lambda request: request.method == "POST"):
        if how == "currency":
            page.select_option("[name='p/currency']", label="CHF")
        else:
            page.click("button[name=_add]")
    page.fill("[name='p/vendor']", "Hooli AG")
    page.focus("[name='p/note']")
    page.keyboard.type("JPY later")
    page.set_input_files("input[type=file][name='p/invoice']", INVOICE)
    page.focus("[name='p/note']")
    page.locator("#request-form form").evaluate("element => { element.dataset.old = 'yes' }")
    held.pop().continue_()
    expect(page.locator("#request-form form[data-old]")).to_have_count(0)
    found = dict(entries(page))
    assert (found["p/vendor"], found["p/note"]) == ("Hooli AG", "JPY later")
    assert found["p/currency"] == ('"CHF"' if how == "currency" else '"EUR"')
    assert page.locator("input[type=file][name='p/invoice']").evaluate("field => field.files[0].name") == "invoice.pdf"
    if how == "currency":
        page.keyboard.type("!")
        assert page.input_value("[name='p/note']") == "JPY later!"
    assert page.input_value("[name='p/currency']") == found["p/currency"]
    assert watched.complaints == []


@pytest.mark.timeout(900)  # opens up to 90 pages
def test_no_script_writes_into_a_form_of_the_console(demo: Demo, chromium: Browser, server: str) -> None:
    morning(demo)
    before = stored(demo)
    watched = watched_as("admin", chromium, server)
    page = watched.page
    pending, kinds, forms, wrong = deque(["/console/"]), set[str](), 0, list[Any]()
    while pending and len(kinds) < MOST_PAGES:
        address = pending.popleft()
        kind = ID.sub("*", urlsplit(address).path)
        if kind in kinds:
            continue
        kinds.add(kind)
        page.goto(address)
        for link in page.locator("a[href]").evaluate_all("links => links.map((link) => link.getAttribute('href'))"):
            target = urlsplit(urljoin(page.url, link))
            is_page = target.netloc == urlsplit(server).netloc and target.path.startswith("/console/")
            if is_page and not WITHOUT_FORM.search(target.path):
                pending.append(target.path)
        typed = (
            "main :is(input[type=text], input:not([type]), textarea):not([readonly], [data-document], .ace_text-input)"
        )
        places = [field for field in page.locator(typed).all() if field.is_visible() and field.is_enabled()]
        if not places:
            continue
        forms += 1
        for number, field in enumerate(places):
            field.fill(f"typed {number}"[: int(field.get_attribute("maxlength") or 1000)])
        filled = entries(page)
        page.keyboard.press("Tab")
        if page.locator(".ace_text-input").count():
            page.wait_for_timeout(500)  # editors ask the server 400 ms after an entry
        if entries(page) != filled or writes(page):
            wrong.append((address, writes(page)))
    assert wrong == []
    assert forms > 12
    assert stored(demo) == before
