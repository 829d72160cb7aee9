"""Lists in a browser: widths, keys, and selections that are kept."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.scene import morning
from tests.browser.watched import Watched
from tests.factories import PASSWORD
from tests.journeys.demo import Demo

pytestmark = pytest.mark.browser

LISTS = ("/console/workitems/workitem/", "/console/integrations/execution/", "/console/telemetry/receipt/")
FITS = """() => [...document.querySelectorAll(".t-scroll")].every(box => box.scrollWidth <= box.clientWidth)
  && document.documentElement.scrollWidth <= document.documentElement.clientWidth"""


@pytest.fixture
def page(demo: Demo, chromium: Browser, server: str) -> Iterator[Page]:
    morning(demo)
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, base_url=server)
    watched = Watched(context.new_page())
    watched.page.goto("/console/login/")
    watched.page.fill("[name=username]", "admin")
    watched.page.fill("[name=password]", PASSWORD)
    watched.page.press("[name=password]", "Enter")
    watched.page.wait_for_url("**/console/")
    yield watched.page
    context.close()
    assert watched.complaints == []


def test_no_column_is_clipped(page: Page) -> None:
    pictures = os.environ.get("THREADA_PICTURES")
    clipped = []
    for width in (1280, 1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for address in LISTS:
            page.goto(address)
            expect(page.locator("table tbody tr").first).to_be_visible()
            if pictures:
                page.screenshot(path=f"{pictures}/{address.split('/')[-2]}-{width}.png", full_page=True)
            if not page.evaluate(FITS):
                clipped.append((address, width))
    assert clipped == []


def test_rows_are_selected_by_keys_and_kept(page: Page) -> None:
    page.goto("/console/workitems/workitem/")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.reload()
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.goto("/console/workitems/workitem/?workflow_id=payment_run")
    expect(page.get_by_text("0 selected")).to_be_visible()
    page.goto("/console/workitems/workitem/")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.get_by_role("button", name="Cancel selected").click()
    expect(page.get_by_role("heading", name="1 selected")).to_be_visible()
    page.get_by_label("Reason (for all)").fill("Duplicate")
    page.get_by_role("button", name="Cancel selected").click()
    expect(page.get_by_text("1 of 1 done.")).to_be_visible()
