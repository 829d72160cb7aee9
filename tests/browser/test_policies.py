"""A policy is edited, found invalid, fixed, replayed, and published by a second person."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from policies.models import PolicyVersion
from tests.browser.watched import Watched
from tests.factories import PASSWORD, acting_system, make_principal
from tests.journeys.demo import LARGE, Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.identity.passwords import set_password
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES

pytestmark = pytest.mark.browser

MEDIUM = {"vendor": "Hooli", "amount_minor": 700_000}


@pytest.fixture
def two_people(demo: Demo) -> Demo:
    """Create an author and a publisher in a tenant that requires four eyes."""
    ctx = acting_system(demo.tenant)
    for name, roles in (("ann", ["policy_author"]), ("pat", ["policy_publisher"]), ("pia", ["policy_publisher"])):
        person = make_principal(demo.tenant, name, roles=roles)
        with unit_of_work(demo.tenant.id):
            set_password(person, PASSWORD, ctx=ctx)
    with unit_of_work(demo.tenant.id):
        turn_on_four_eyes(POLICY_FOUR_EYES, ctx=ctx)
    return demo


def replace_in_text(page: Watched, old: str, new: str) -> None:
    """Change the text like typing, and notify the page."""
    area = page.page.locator("#id_document")
    text = area.input_value()
    assert old in text
    area.evaluate(
        "(area, text) => { area.value = text; area.dispatchEvent(new Event('input')); }", text.replace(old, new)
    )


def test_a_draft_is_written_replayed_and_published_by_a_second_person(two_people: Demo, page: Watched) -> None:
    demo = two_people
    with unit_of_work(demo.tenant.id):
        first = PolicyVersion.objects.get(policy__slug="payments").public_id
    busy = open_step(demo)
    browser = page.page

    page.sign_in("ann", PASSWORD)
    browser.goto("/console/policies/policy/payments/new-draft/")
    editor = browser.locator("[data-editor]")
    expect(editor).to_have_attribute("data-state", "right")
    expect(browser.locator("[data-panel]")).to_contain_text("3 passed")

    replace_in_text(page, "item.payload.amount_minor > 1000000", "item.payload.amount_minr > 500000")
    expect(editor).to_have_attribute("data-state", "wrong")
    panel = browser.locator("[data-panel]")
    expect(panel).to_contain_text("item.payload.amount_minr is unknown. Did you mean item.payload.amount_minor?")
    marked = browser.locator(".ace_gutter-cell.ace_error")
    text = browser.locator("#id_document").input_value()
    line = next(number for number, content in enumerate(text.split("\n"), start=1) if "amount_minr" in content)
    expect(marked.first).to_contain_text(str(line))
    column = text.split("\n")[line - 1].index("amount_minr") + 1
    browser.get_by_role("button", name=f"{line}:{column}").click()
    expect(browser.locator("[data-cursor]")).to_have_text(f"line {line}, column {column}")
    expect(browser.locator(".ace_text-input").first).to_be_focused()
    assert not page.overflows()

    replace_in_text(page, "amount_minr", "amount_minor")
    expect(editor).to_have_attribute("data-state", "right")
    expect(marked).to_have_count(0)
    browser.get_by_role("button", name="Save as draft").click()
    expect(browser.get_by_text("Version 2 was drafted.")).to_be_visible()
    draft = browser.url

    browser.get_by_role("link", name="Replay recorded decisions").click()
    browser.get_by_role("button", name=re.compile("replay", re.IGNORECASE)).click()
    expect(browser.get_by_text("Waiting for a worker.")).to_be_visible()
    demo.wait()
    browser.reload()
    expect(browser.get_by_text("finished", exact=False).first).to_be_visible()
    page.sign_out()

    page.sign_in("pat", PASSWORD)
    browser.goto(draft)
    expect(browser.get_by_text("would differ")).to_be_visible()
    browser.get_by_role("link", name="Compare", exact=True).click()
    expect(browser.locator("del").first).to_have_text("1000000")
    expect(browser.locator("ins").first).to_have_text("500000")
    assert not page.overflows()
    browser.goto(draft)
    browser.get_by_role("button", name="Propose version 2", exact=True).click()
    expect(browser.get_by_text("It replaces version 1.")).to_be_visible()
    expect(browser.locator("ins").first).to_have_text("500000")
    assert not page.overflows()
    browser.get_by_label("Reason").fill("The limit follows the audit of May.")
    browser.get_by_role("button", name="Publish version").click()
    expect(browser.get_by_text("A second person must publish this change:")).to_be_visible()
    browser.get_by_role("link", name="Publish version 2 of payments").click()
    change_set = browser.url
    expect(browser.get_by_text("You have a part in this change")).to_be_visible()
    page.sign_out()

    page.sign_in("pia", PASSWORD)
    browser.goto(change_set)
    expect(browser.locator("ins").first).to_be_visible()
    assert not page.overflows()
    browser.get_by_role("button", name="Publish change set").click()
    expect(browser.get_by_role("heading", name="Confirm that it is you")).to_be_visible()
    browser.fill("input[name=password]", PASSWORD)
    browser.get_by_role("button", name="Continue").click()
    browser.get_by_role("button", name="Publish change set").click()
    browser.get_by_label("Reason").fill("Read and understood.")
    assert not page.overflows()
    browser.get_by_role("button", name="Publish change set").click()
    expect(browser.get_by_text("Published: Publish version 2 of payments.")).to_be_visible()
    second = demo.api("admin").get("/policies/payments").json()["policy_version_id"]
    assert second != first

    step = demo.step_of_id(busy)
    assert (step["status"], step["policy_version_ids"]) == ("pending", [first])
    item = demo.hand_in(MEDIUM)
    demo.wait()
    answer = demo.execute(item).json()
    assert answer["status"] == "awaiting_approval"  # the previous version allowed this amount
    assert demo.step_of(item)["policy_version_ids"] == [second]
    for name in ("finance-1", "finance-2"):
        assert demo.vote(name, step).status_code == 201
    assert demo.step_of_id(busy)["status"] == "approved"


def open_step(demo: Demo) -> str:
    """Return the id of a step about a payment that needs two people of finance."""
    item = demo.hand_in(LARGE)
    demo.wait()
    demo.execute(item)
    step_id: str = demo.step_of(item)["decision_step_id"]
    demo.wait()
    return step_id


def test_the_editor_is_used_by_keyboard_alone(demo: Demo, page: Watched) -> None:
    browser = page.page
    page.sign_in("admin", PASSWORD)
    browser.goto("/console/policies/policy/payments/new-draft/")
    expect(browser.locator("[data-editor]")).to_have_attribute("data-state", "right")
    browser.get_by_role("group", name="Editor content").focus()
    browser.keyboard.press("Enter")
    expect(browser.locator(".ace_text-input").first).to_be_focused()
    browser.keyboard.press("Control+Home")
    browser.keyboard.press("Enter")
    browser.keyboard.type("kinds: x")
    expect(browser.locator("[data-editor]")).to_have_attribute("data-state", "wrong")
    browser.keyboard.press("Escape")
    for _ in range(4):
        browser.keyboard.press("Tab")
    place = browser.locator("[data-panel] .t-place").first
    expect(place).to_be_focused()
    browser.keyboard.press("Enter")
    expect(browser.locator(".ace_text-input").first).to_be_focused()
    browser.keyboard.press("Control+Z")
    dark = browser.evaluate("document.documentElement.classList.toggle('dark')")
    assert dark in (True, False)
    assert not page.overflows()
    browser.evaluate("document.querySelector('[data-editor]').reset()")
