"""Request portal in a real browser: a payment with at most four clicks, fields that follow entries, rows, and axe.

With `THREADA_PICTURES=<folder>` each page is also written there as a PNG.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.watched import Watched
from tests.console.portal.forms import put_workflow, stored
from tests.factories import PASSWORD, acting_system
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.passwords import set_password
from threada_site.tenancy.models import User
from workitems.models import WorkItem

pytestmark = pytest.mark.browser

RULES = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["vendor", "amount_minor", "currency"],
    "properties": {
        "vendor": {"type": "string", "title": "Vendor", "minLength": 1, "maxLength": 100, "description": "As on the invoice."},
        "amount_minor": {
            "type": "integer",
            "title": "Amount",
            "minimum": 1,
            "x-threada": {"format": "money", "currency": {"pointer": "/currency"}},
        },
        "currency": {"enum": ["EUR", "CHF", "JPY"], "default": "EUR", "title": "Currency"},
        "due": {"type": "string", "format": "date", "title": "Due on"},
        "method": {"oneOf": [{"const": "transfer", "title": "Bank transfer"}, {"const": "card", "title": "Card"}], "title": "Method"},
        "urgent": {"type": "boolean", "default": False, "title": "Urgent"},
        "lines": {
            "type": "array",
            "title": "Line",
            "items": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "title": "Text", "maxLength": 100}}},
        },
        "address": {"type": "object", "title": "Address", "properties": {"city": {"type": "string", "title": "City"}}},
        "more": {"type": "object", "title": "Other data", "description": "Anything that the form does not ask for."},
    },
    "if": {"properties": {"method": {"const": "card"}}, "required": ["method"]},
    "then": {"properties": {"holder": {"type": "string", "title": "Card holder", "maxLength": 100}}, "required": ["holder"]},
}  # fmt: skip
SIZES = {"wide": {"width": 1440, "height": 900}, "narrow": {"width": 390, "height": 800}}


class Clicks:
    """Counts clicks; typing is free."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.count = 0

    def click(self, selector: str) -> None:
        self.page.click(selector)
        self.count += 1


@pytest.fixture
def rita(demo: Demo) -> Demo:
    demo.join("rita", roles=("requester",))
    with unit_of_work(demo.tenant.id):
        set_password(User.objects.get(username="rita"), PASSWORD, ctx=acting_system(demo.tenant))
    return demo


def opened(
    chromium: Browser, server: str, size: str = "wide", theme: str = "light", *, scripts: bool = True
) -> Watched:
    """Return a page where rita is signed in."""
    look: dict[str, Any] = {"base_url": server, "viewport": SIZES[size], "color_scheme": theme}
    context = chromium.new_context(**look)
    watched = Watched(context.new_page())
    watched.sign_in("rita", PASSWORD)
    if scripts:
        return watched
    signed_in = context.storage_state()
    return Watched(chromium.new_context(**look, storage_state=signed_in, java_script_enabled=False).new_page())


def test_a_payment_is_requested_with_at_most_four_clicks(rita: Demo, chromium: Browser, server: str) -> None:
    watched = opened(chromium, server)
    page, clicks = watched.page, Clicks(watched.page)
    clicks.click("a.t-entry:has-text('Payment run')")
    page.keyboard.press("Tab")
    page.fill("[name='p/vendor']", "Hooli")
    page.fill("[name='p/amount_minor']", "2000000")
    clicks.click("button.t-primary:has-text('Send request')")
    expect(page.locator(".t-badge").first).to_have_text("Waiting for approval")
    assert clicks.count <= 4
    assert stored(rita) == (2, 1)
    assert watched.complaints == []


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_fields_and_rows_follow_the_entries(rita: Demo, chromium: Browser, server: str, *, scripts: bool) -> None:
    put_workflow(rita, payload_schema=SCHEMA)
    watched = opened(chromium, server, scripts=scripts)
    page = watched.page
    page.goto("/console/request/payment_run")
    page.fill("[name='p/vendor']", "Hooli")
    page.fill("[name='p/amount_minor']", "12.50")
    page.focus("[name='p/method']")
    page.select_option("[name='p/method']", label="Card")
    if not scripts:
        page.click("button:has-text('Update the form')")
    expect(page.locator("[name='p/holder']")).to_be_visible()
    if scripts:
        assert page.evaluate("document.activeElement.name") == "p/method"
    page.fill("[name='p/holder']", "Rita")
    page.click("button[name=_add]")
    expect(page.locator("[name='p/lines/0/text']")).to_be_visible()
    page.fill("[name='p/lines/0/text']", "first")
    page.click("button[name=_add]")
    page.fill("[name='p/lines/1/text']", "second")
    page.click("button[name=_remove][value='/lines/0']")
    expect(page.locator("[name='p/lines/1/text']")).to_have_count(0)
    page.click("button.t-primary:has-text('Send request')")
    expect(page.locator(".t-badge").first).to_be_visible()
    with unit_of_work(rita.tenant.id):
        payload = WorkItem.objects.latest("id").payload
    assert payload == {
        "vendor": "Hooli", "amount_minor": 1250, "currency": "EUR", "method": "card", "holder": "Rita", "urgent": False,
        "lines": [{"text": "second"}],
    }  # fmt: skip
    assert watched.complaints == []


def test_a_form_is_filled_in_with_the_keyboard_alone(rita: Demo, chromium: Browser, server: str) -> None:
    watched = opened(chromium, server)
    page = watched.page
    page.goto("/console/request/payment_run")
    page.focus("[name='p/vendor']")
    page.keyboard.press("Enter")
    problems = page.locator("#problems")
    expect(problems).to_be_visible()
    expect(problems).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash").startswith("#p_2f_")
    page.focus("[name='p/vendor']")
    page.keyboard.type("Hooli")
    page.focus("[name='p/amount_minor']")
    page.keyboard.type("900")
    page.keyboard.press("Enter")
    expect(page.locator("h2:has-text('What was requested')")).to_be_visible()
    assert stored(rita) == (2, 1)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
def test_pages_have_no_serious_problems(rita: Demo, chromium: Browser, server: str, size: str, theme: str) -> None:
    put_workflow(
        rita,
        payload_schema=SCHEMA,
        description="Pays an invoice of a vendor. Large amounts need two people of finance.",
    )
    watched = opened(chromium, server, size, theme)
    page = watched.page
    form = "/console/request/payment_run"
    page.goto(form)
    page.fill("[name='p/vendor']", "Hooli Deutschland Vertriebs- und Beteiligungsgesellschaft mbH")
    page.fill("[name='p/amount_minor']", "25000")
    page.click("button:has-text('Save draft')")
    page.goto(f"{form}")
    page.fill("[name='p/vendor']", "Hooli")
    page.fill("[name='p/amount_minor']", "25000")
    page.click("button.t-primary:has-text('Send request')")
    page.wait_for_url("**/console/requests/wi_*/")
    request = page.url
    found: list[str] = []
    for name, address in {
        "home": "/console/",
        "catalogue": "/console/request/",
        "form": form,
        "link": f"{form}?vendor=Hooli&method=card&holder=Rita&nothing=1",
        "requests": "/console/requests/",
        "request": request,
        "errors": form,
    }.items():
        page.goto(address)
        if name == "errors":
            page.fill("[name='p/amount_minor']", "1,234.50")
            page.fill("[name='p/more']", "{")
            page.click("button[name=_add]")
            page.click("button.t-primary:has-text('Send request')")
            expect(page.locator("#problems")).to_be_visible()
        if watched.overflows():
            found.append(f"{name} is wider than the window")
        for violation in Axe().run(page, options=RULES).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                found += [f"{name}: {violation['id']} {node['html'][:200]}" for node in violation["nodes"]]
        if folder := os.environ.get("THREADA_PICTURES"):
            page.screenshot(path=str(Path(folder) / f"{name}-{theme}-{size}.png"), full_page=True)
    assert found == []
    assert [one for one in watched.complaints if "422" not in one] == []
