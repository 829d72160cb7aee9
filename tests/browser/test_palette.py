"""The command palette in a browser: by keyboard, by touch, and without a script."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.watched import Watched
from tests.factories import PASSWORD
from tests.journeys.demo import Demo
from threada_site.kernel import clock
from workitems.search.sweep import index_changes

pytestmark = pytest.mark.browser


@pytest.fixture
def item(demo: Demo) -> str:
    item = demo.hand_in({"vendor": "Hooli", "amount_minor": 900, "invoice": "R-7"}, external_ref="INV-2026-0008")
    index_changes(now=clock.now())
    return item


def signed_in(browser: Browser, server: str, *, width: int) -> Watched:
    context = browser.new_context(viewport={"width": width, "height": 900}, base_url=server)
    watched = Watched(context.new_page())
    watched.page.goto("/console/login/")
    watched.page.fill("[name=username]", "finance-1")
    watched.page.fill("[name=password]", PASSWORD)
    watched.page.press("[name=password]", "Enter")
    watched.page.wait_for_url("**/console/")
    return watched


@pytest.fixture
def page(item: str, chromium: Browser, server: str) -> Iterator[Page]:
    watched = signed_in(chromium, server, width=1280)
    yield watched.page
    watched.page.context.close()
    assert watched.complaints == []


def test_an_invoice_is_found_by_its_number(item: str, page: Page) -> None:
    page.keyboard.press("Control+k")
    page.keyboard.type("INV-2026-0008")
    expect(page.get_by_role("option").first).to_contain_text("INV-2026-0008")
    assert Axe().run(page, "#palette").response["violations"] == []
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/workitems/workitem/{item}/")


def test_pages_are_reached_by_arrows_and_escape_closes(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("execu")
    expect(page.get_by_role("option", name="Executions").first).to_be_visible()
    selected = page.locator("[role=option][aria-selected=true]")
    first = selected.get_attribute("id")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert selected.get_attribute("id") == first
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).not_to_be_visible()
    page.keyboard.press("Control+k")
    page.keyboard.type("zzzz")
    expect(page.get_by_text("Nothing matches.")).to_be_visible()


def test_on_a_telephone_a_button_opens_it(item: str, chromium: Browser, server: str) -> None:
    watched = signed_in(chromium, server, width=390)
    watched.page.get_by_role("link", name="Search", exact=True).click()
    watched.page.keyboard.type("hooli")
    expect(watched.page.get_by_role("option").first).to_be_visible()
    box = watched.page.locator("#palette").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    watched.page.context.close()
    assert watched.complaints == []


def test_without_scripts_the_field_leads_to_a_page(item: str, chromium: Browser, server: str) -> None:
    watched = signed_in(chromium, server, width=1280)
    session = watched.page.context.storage_state()
    watched.page.context.close()
    plain = chromium.new_context(base_url=server, java_script_enabled=False, storage_state=session)
    page = plain.new_page()
    page.goto("/console/find/")
    page.fill("main [name=q]", "hooli")
    page.press("main [name=q]", "Enter")
    page.get_by_role("link", name="INV-2026-0008").first.click()
    page.wait_for_url(f"**/workitems/workitem/{item}/")
    plain.close()
