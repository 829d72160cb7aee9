"""Notification preferences with a keyboard, on a phone, and with a screen reader."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.watched import Watched
from tests.factories import PASSWORD
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from workitems.models import NotificationPreference

pytestmark = pytest.mark.browser
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


def test_choosing_what_one_is_told(demo: Demo, page: Watched) -> None:
    page.sign_in("finance-1", PASSWORD)
    page.page.goto("/console/notifications/")
    serious = [
        violation["id"]
        for violation in Axe().run(page.page).response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert not page.overflows()
    page.page.get_by_label("Mail address").fill("me@example.org")
    page.page.get_by_role("group", name="Events by mail").get_by_label("It is still pending (reminder)").uncheck()
    page.page.get_by_label("Chat address").fill(SLACK)
    page.page.get_by_role("button", name="Save").press("Enter")
    expect(page.page.get_by_text("Your notification preferences are saved.")).to_be_visible()
    expect(page.page.get_by_text("A slack address is stored; leave the field empty to keep it.")).to_be_visible()
    expect(page.page.get_by_label("Chat address", exact=False).first).to_have_value("")
    with unit_of_work(demo.tenant.id):
        row = NotificationPreference.objects.get()
        assert (row.mail_address, row.mail_events) == ("me@example.org", ["assigned", "escalated", "decided"])
        assert row.chat_service == "slack"
