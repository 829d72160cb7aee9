"""Decisions by keyboard only, from the sign-in to the last vote."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.scene import Scene, morning
from tests.browser.watched import Watched
from tests.factories import PASSWORD
from tests.journeys.demo import Demo

pytestmark = pytest.mark.browser


@pytest.fixture
def scene(demo: Demo) -> Scene:
    return morning(demo)


@pytest.fixture
def keyboard(scene: Scene, chromium: Browser, server: str) -> Iterator[Page]:
    """Yield a signed-in page without mouse and touch."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, base_url=server)
    watched = Watched(context.new_page())
    page = watched.page
    page.goto("/console/")
    tab_to(page, "document.activeElement.name === 'username'")
    page.keyboard.type("finance-1")
    tab_to(page, "document.activeElement.name === 'password'")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_function("location.pathname === '/console/'")
    yield page
    context.close()
    assert watched.complaints == []


def tab_to(page: Page, condition: str, key: str = "Tab") -> None:
    for _ in range(60):
        if page.evaluate(condition):
            return
        page.keyboard.press(key)
    pytest.fail(f"{condition} cannot be reached by {key}")


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement?.textContent?.replace(/\\s+/g, ' ').trim() ?? ''"))


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_from_the_queue_to_an_approval(demo: Demo, scene: Scene, keyboard: Page) -> None:
    page = keyboard
    page.goto("/console/workitems/decisionstep/desk/")
    press(page, "j")
    assert "Hooli Ltd" in focused(page)
    press(page, "j")
    assert "12,500.00" in focused(page)
    press(page, "j", "j", "k")
    assert "13,200.00" in focused(page)
    press(page, "Enter")
    page.wait_for_url(f"**/{scene.plain[1]}/")
    press(page, "a")
    assert focused(page).endswith("Approve")
    assert demo.step_of_id(scene.plain[1])["votes"] == []
    press(page, "Enter")
    expect(page.get_by_text("Your approval is recorded. Other votes are still needed.")).to_be_visible()
    assert [vote["decision"] for vote in demo.step_of_id(scene.plain[1])["votes"]] == ["approve"]
    press(page, "u")
    page.wait_for_url("**/desk/")


def test_rejecting_with_a_reason_and_a_comment(demo: Demo, scene: Scene, keyboard: Page) -> None:
    page = keyboard
    page.goto("/console/workitems/decisionstep/desk/")
    press(page, "j", "j", "r")
    page.wait_for_url(f"**/{scene.plain[0]}/#reject")
    page.keyboard.type("DUP")
    press(page, "Tab")
    page.keyboard.type("Paid in march; a, j and r are letters here.")
    press(page, "Tab", "Enter")
    expect(page.get_by_text("The approval is rejected; the work item is rejected.")).to_be_visible()
    (vote,) = demo.step_of_id(scene.plain[0])["votes"]
    assert (vote["reason_code"], vote["comment"]) == ("DUPLICATE", "Paid in march; a, j and r are letters here.")


def test_several_together(demo: Demo, scene: Scene, keyboard: Page) -> None:
    page = keyboard
    page.goto("/console/workitems/decisionstep/desk/")
    press(page, "j", "j", "x", "j", "x")
    page.reload()
    expect(page.get_by_text("2 selected")).to_be_visible()
    assert page.locator("input[name=row]:checked").count() == 2
    press(page, "j")
    tab_to(page, "document.activeElement.textContent.includes('Decide selected steps')", "Shift+Tab")
    press(page, "Enter")
    expect(page.get_by_role("heading", name="Question, 2 times")).to_be_visible()
    press(page, "a", "Enter")
    expect(page.get_by_text("You have approved 2 decisions. 2 still need votes of others.")).to_be_visible()
    assert [len(demo.step_of_id(step)["votes"]) for step in scene.plain] == [1, 1, 0, 0]


def test_the_help_opens_and_closes_and_keys_can_be_switched_off(keyboard: Page) -> None:
    page = keyboard
    page.goto("/console/workitems/decisionstep/desk/")
    press(page, "?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    press(page, "j")
    press(page, "Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    press(page, "?")
    page.get_by_label("Disable these keys in this browser").focus()
    press(page, "Space", "Escape", "j")
    expect(page.locator("[data-row]:focus-within")).to_have_count(0)
    page.reload()
    press(page, "j")
    expect(page.locator("[data-row]:focus-within")).to_have_count(0)


def test_whatever_can_be_pressed_can_be_reached_and_seen_by_tab(scene: Scene, keyboard: Page) -> None:
    page = keyboard
    for address in ("desk/", f"{scene.changed}/"):
        page.goto(f"/console/workitems/decisionstep/{address}")
        wanted = page.evaluate(
            "[...document.querySelectorAll('.t-page :is(a[href], button, input, select, textarea, summary)')]"
            ".filter(e => !e.disabled && e.type !== 'hidden' && e.checkVisibility()).map((e, n) => e.dataset.n = n).length"
        )
        seen: set[str] = set()
        for _ in range(wanted + 60):
            press(page, "Tab")
            number, is_marked = page.evaluate(
                "(() => {const e = document.activeElement; const s = getComputedStyle(e);"
                "return [e.dataset?.n ?? '', s.outlineStyle !== 'none' || s.boxShadow !== 'none']})()"
            )
            if number:
                assert is_marked, page.evaluate("document.activeElement.outerHTML")
                seen.add(number)
        assert len(seen) == wanted, address


def test_what_is_cut_cannot_be_approved_by_keys_either(demo: Demo, keyboard: Page) -> None:
    page = keyboard
    quotes = [{"quote": "y" * 3_900, "page": place} for place in range(12)]
    item = demo.hand_in({"vendor": "Long", "amount_minor": 2_000_000}, evidence={"citations": quotes})
    demo.wait()
    assert demo.execute(item).status_code == 202
    step = demo.step_of(item)["decision_step_id"]
    page.goto(f"/console/workitems/decisionstep/{step}/")
    press(page, "a", "Enter")
    expect(page.get_by_role("button", name="Approve", exact=True)).to_be_disabled()
    assert demo.step_of_id(step)["votes"] == []
    page.goto(f"/console/workitems/decisionstep/{step}/?whole=1")
    press(page, "a", "Enter")
    expect(page.get_by_text("Your approval is recorded.")).to_be_visible()
