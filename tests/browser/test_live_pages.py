"""Pages that update while they are open, and a freeze everywhere."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.watched import Watched
from tests.console.test_desk import ask
from tests.factories import PASSWORD
from tests.journeys.demo import LARGE, SMALL, Demo

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

DESK = "/console/workitems/decisionstep/desk/"
WITHIN_MS = 30_000


def test_a_new_item_is_announced(demo: Demo, page: Watched) -> None:
    page.sign_in("finance-1", PASSWORD)
    page.page.goto(DESK)
    ask(demo)
    status = page.page.locator("#pulse [role=status]")
    expect(status).to_contain_text("1 new", timeout=WITHIN_MS)
    status.get_by_role("link", name="Show").click()
    expect(page.page.locator("[data-step]")).to_have_count(1)


def test_a_changed_envelope_is_announced_and_the_button_says_so(demo: Demo, page: Watched) -> None:
    item = demo.hand_in({"vendor": "Hooli", "amount_minor": 2_000_000})
    demo.execute(item)
    step = demo.step_of(item)["decision_step_id"]
    page.sign_in("finance-1", PASSWORD)
    page.page.goto(f"/console/workitems/decisionstep/{step}/change/")
    page.page.locator("#decide textarea").first.fill("The order is right.")
    demo.client.edit(f"/work-items/{item}", {"payload": {"vendor": "Hooli", "amount_minor": 3_000_000}})
    demo.wait()
    button = page.page.locator("#decide button[type=submit]").first
    expect(button).to_be_disabled(timeout=WITHIN_MS)
    expect(button).to_contain_text("reload first")
    expect(page.page.locator("#decide textarea").first).to_have_value("The order is right.")


def test_a_freeze_is_seen_everywhere(demo: Demo, page: Watched) -> None:
    item, large = demo.hand_in(SMALL), demo.hand_in(LARGE)
    demo.execute(large)
    page.sign_in("admin", PASSWORD)
    page.page.goto("/console/integrations/freeze/new/")
    page.page.locator("textarea").first.fill("The bank reports fraud.")
    page.page.get_by_role("button", name="Set freeze").click()
    execution = demo.execute(item).json()["execution_id"]
    demo.wait()
    for address in (
        f"/console/integrations/execution/{execution}/change/",
        f"/console/workitems/workitem/{item}/change/",
        "/console/integrations/execution/",
        "/console/workitems/workitem/",
    ):
        page.page.goto(address)
        expect(page.page.locator("main")).to_contain_text("blocked by freeze")
    step = demo.step_of(large)["decision_step_id"]
    for address in ("/console/", DESK, f"/console/workitems/decisionstep/{step}/"):
        page.page.goto(address)
        expect(page.page.locator("[data-freeze]").first).to_contain_text("The bank reports fraud.")
