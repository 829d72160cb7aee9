"""The editor of documents: colours, completion, errors at their places, keyboard, and pages without scripts."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_accessibility import RULES
from tests.browser.watched import Watched
from tests.factories import PASSWORD
from tests.journeys.demo import Demo

pytestmark = pytest.mark.browser

WORKFLOW = "/console/policies/workflow/payment_run/new-version/"
POLICY = "/console/policies/policy/payments/new-draft/"


def type_at_end(page: Page, text: str) -> None:
    """Paste at the end of the editor's text and type the last character."""
    page.evaluate("document.querySelector('.ace_editor').env.editor.focus()")
    page.keyboard.press("Control+End")
    page.keyboard.insert_text(text[:-1])
    page.keyboard.type(text[-1])


def test_a_document_is_coloured_completed_and_checked(demo: Demo, page: Watched) -> None:
    browser = page.page
    page.sign_in("admin", PASSWORD)
    browser.goto(WORKFLOW)
    editor = browser.locator(".t-code-editor")
    expect(editor).to_have_attribute("data-state", "right")
    assert browser.locator(".ace_meta.ace_tag").count() > 3
    type_at_end(browser, "\n  subj")
    expect(browser.locator(".ace_autocomplete")).to_be_visible()
    expect(browser.locator(".ace_autocomplete .ace_line").first).to_contain_text("subject")
    browser.keyboard.press("Enter")
    expect(browser.locator("#id_document")).to_have_value(re.compile("subject: $"))
    type_at_end(browser, "[1]")
    expect(editor).to_have_attribute("data-state", "wrong")
    place = browser.locator(".t-findings .t-place").first
    expect(browser.locator(".ace_gutter-cell.ace_error").first).to_be_visible()
    place.click()
    expect(browser.locator(".ace_text-input").first).to_be_focused()
    assert not page.overflows()
    # ace adds no style element: its stylesheet is a file, as with a policy without 'unsafe-inline'
    assert (
        browser.evaluate("[...document.querySelectorAll('style')].filter(e => /ace_/.test(e.textContent)).length") == 0
    )


def test_what_is_typed_is_what_is_saved(demo: Demo, page: Watched) -> None:
    browser = page.page
    page.sign_in("admin", PASSWORD)
    browser.goto(WORKFLOW)
    expect(browser.locator(".t-code-editor")).to_have_attribute("data-state", "right")
    type_at_end(browser, "\n  subject: /vendor")
    browser.keyboard.press("Escape")
    expect(browser.locator(".t-code-editor")).to_have_attribute("data-state", "right")
    browser.get_by_role("button", name="Create version").click()
    expect(browser.locator("ins").last).to_be_visible()
    browser.get_by_label("Reason").fill("Protects the vendor.")
    browser.get_by_role("button", name="Create version").click()
    expect(browser.get_by_text("The new version is in use.")).to_be_visible()


def test_the_keyboard_enters_and_leaves(demo: Demo, page: Watched) -> None:
    browser = page.page
    page.sign_in("admin", PASSWORD)
    browser.goto(WORKFLOW)
    expect(browser.locator(".t-code-editor")).to_have_attribute("data-state", "right")
    content = browser.get_by_role("group", name="Editor content")
    expect(content).to_have_attribute("tabindex", "0")
    content.focus()
    browser.keyboard.press("Enter")
    expect(browser.locator(".ace_text-input").first).to_be_focused()
    browser.keyboard.press("Tab")  # indents
    browser.keyboard.press("Escape")
    browser.keyboard.press("Tab")
    assert not browser.evaluate("Boolean(document.activeElement.closest('.ace_editor'))")


@pytest.mark.parametrize("address", [WORKFLOW, POLICY])
def test_tab_reaches_every_control(demo: Demo, page: Watched, address: str) -> None:
    browser = page.page
    page.sign_in("admin", PASSWORD)
    browser.goto(address)
    expect(browser.get_by_role("group", name="Editor content")).to_have_attribute("tabindex", "0")
    wanted = browser.evaluate(
        """() => {
            const controls = [...document.querySelectorAll("main button, main input, main select, main .ace_content")];
            const visible = controls.filter((one) => one.checkVisibility() && !one.disabled && one.tabIndex >= 0);
            visible.forEach((one, place) => { one.dataset.tab = place; });
            return visible.length;
        }"""
    )
    reached = set()
    for _ in range(200):
        browser.keyboard.press("Tab")
        reached.add(browser.evaluate("document.activeElement.dataset.tab"))
    missing = browser.evaluate(
        "reached => [...document.querySelectorAll('[data-tab]')].filter(e => !reached.includes(e.dataset.tab))"
        ".map(e => e.outerHTML.slice(0, 200))",
        list(reached),
    )
    assert (wanted > 0, missing) == (True, [])


@pytest.mark.parametrize("address", [WORKFLOW, POLICY])
def test_axe_finds_nothing_serious(demo: Demo, page: Watched, address: str) -> None:
    browser = page.page
    page.sign_in("admin", PASSWORD)
    browser.goto(address)
    expect(browser.locator(".ace_editor").first).to_be_visible()
    browser.wait_for_timeout(800)
    for _ in range(2):
        violations = Axe().run(browser, options=RULES).response["violations"]
        found = [entry for entry in violations if entry["impact"] in ("serious", "critical")]
        assert [(entry["id"], [node["target"] for node in entry["nodes"]]) for entry in found] == []
        browser.evaluate("document.documentElement.classList.toggle('dark')")


def test_it_is_a_text_area_where_the_editor_cannot_be_loaded(demo: Demo, chromium: Browser, server: str) -> None:
    # the service worker would answer before the route does
    context = chromium.new_context(base_url=server, service_workers="block")
    watched = Watched(context.new_page())
    browser = watched.page
    browser.route("**/django_ace/**/*.js", lambda route: route.fulfill(status=200, body=""))
    watched.sign_in("admin", PASSWORD)
    browser.goto(WORKFLOW)
    area = browser.locator("#id_document")
    expect(area).to_be_visible()
    area.fill(area.input_value().rstrip("\n") + "\n  subject: /vendor\n")
    browser.get_by_role("button", name="Create version").click()
    expect(browser.locator("ins").last).to_be_visible()
    browser.get_by_label("Reason").fill("Protects the vendor.")
    browser.get_by_role("button", name="Create version").click()
    expect(browser.get_by_text("The new version is in use.")).to_be_visible()
    context.close()
