"""Conversation in a real browser: a refused text returns to its field, and is gone with the next page."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.watched import Watched
from tests.factories import PASSWORD
from tests.journeys.demo import LARGE, Demo
from workitems.conversation.limits import MOST_MENTIONS

pytestmark = pytest.mark.browser


def test_a_refused_comment_returns_to_its_field(demo: Demo, page: Watched) -> None:
    item = demo.hand_in(LARGE)
    page.sign_in("admin", PASSWORD)
    page.page.goto(f"/console/workitems/workitem/{item}/")
    field = page.page.get_by_label("Comment", exact=True)
    refused = " ".join(f"@person-{number}" for number in range(MOST_MENTIONS + 1))
    field.fill(refused)
    page.page.get_by_role("button", name="Add comment").click()
    expect(page.page.locator(".errornote").first).to_be_visible()
    expect(field).to_have_value(refused)
    field.fill("Paid on Monday.")
    page.page.get_by_role("button", name="Add comment").click()
    expect(page.page.get_by_text("The comment is saved.")).to_be_visible()
    expect(field).to_have_value("")
    assert not page.overflows()
