"""Entries of a form whose session ends: shown again to the same person after the sign-in, and never sent."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.scene import Scene, morning
from tests.browser.watched import Watched, opened
from tests.console.portal.forms import put_workflow, stored
from tests.factories import PASSWORD, acting_system
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.passwords import set_password
from threada_site.tenancy.models import User
from workitems.models import Vote, WorkItem

pytestmark = pytest.mark.browser

COMMENT: Final = "Checked by telephone with the supplier."
OPEN: Final = """async () => {
  const record = JSON.parse(sessionStorage.getItem("threada.entries") ?? "null");
  if (!record) return null;
  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const key = await crypto.subtle.importKey("raw", bytes(document.getElementById("entries").dataset.key), "AES-GCM", false, ["decrypt"]);
  const plain = await crypto.subtle.decrypt({ name: "AES-GCM", iv: bytes(record.iv) }, key, bytes(record.data));
  return new TextDecoder().decode(plain);
}"""
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["vendor"],
    "properties": {
        "vendor": {"type": "string", "title": "Vendor", "minLength": 1},
        "amount_minor": {"type": "integer", "default": 900, "title": "Amount"},
        "method": {"enum": ["transfer", "card"], "title": "Method"},
        "urgent": {"type": "boolean", "default": False, "title": "Urgent"},
        "lines": {
            "type": "array",
            "title": "Line",
            "items": {"type": "object", "properties": {"text": {"type": "string", "title": "Text"}}},
        },
        "invoice": {"type": "object", "x-threada": {"format": "file", "types": ["application/pdf"]}},
    },
    "if": {"properties": {"method": {"const": "card"}}, "required": ["method"]},
    "then": {"properties": {"holder": {"type": "string", "title": "Card holder"}}},
}


def kept(page: Page) -> str | None:
    """Return what this tab keeps, as text of the browser's storage."""
    return page.evaluate("sessionStorage.getItem('threada.entries')")


def waits_for_kept(page: Page) -> None:
    page.wait_for_function("() => JSON.parse(sessionStorage.getItem('threada.entries') ?? 'null')?.isSent === false")


def end_session(page: Page) -> None:
    page.context.clear_cookies(name="threada_session")


def sign_in_again(page: Page, name: str) -> None:
    expect(page.locator("input[name=username]")).to_be_visible()
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(lambda address: "/login/" not in address)


def votes(demo: Demo) -> int:
    with unit_of_work(demo.tenant.id):
        return Vote.objects.count()


@pytest.fixture
def scene(demo: Demo) -> Scene:
    return morning(demo)


def typed_and_signed_out(scene: Scene, chromium: Browser, server: str) -> Watched:
    """Return the sign-in page on which finance-1 lands who approved with a comment after the end of the session."""
    watched = opened(chromium, server).watched
    watched.sign_in("finance-1", PASSWORD)
    page = watched.page
    page.goto(f"/console/workitems/decisionstep/{scene.plain[0]}/")
    page.fill("#decide form[action$='/approve/'] textarea[name=comment]", COMMENT)
    end_session(page)
    page.click("button[data-key-approve]")
    expect(page.locator("input[name=username]")).to_be_visible()
    return watched


def test_a_comment_is_shown_again_and_sent_by_the_person(
    demo: Demo, scene: Scene, chromium: Browser, server: str
) -> None:
    before = votes(demo)
    page = typed_and_signed_out(scene, chromium, server).page
    assert COMMENT not in str(kept(page))
    sign_in_again(page, "finance-1")
    address = f"/console/workitems/decisionstep/{scene.plain[0]}/"
    assert page.url.endswith(address)
    field = page.locator("#decide form[action$='/approve/'] textarea[name=comment]")
    expect(field).to_have_value(COMMENT)
    expect(page.locator("[data-restored]")).to_contain_text("Your entries are restored.")
    assert votes(demo) == before
    page.click("button[data-key-approve]")
    expect(page.locator("[data-restored]")).to_have_count(0)
    assert votes(demo) == before + 1
    page.goto(address)
    assert kept(page) is None
    assert page.locator("[data-restored]").count() == 0


def test_another_person_neither_sees_nor_keeps_them(demo: Demo, scene: Scene, chromium: Browser, server: str) -> None:
    page = typed_and_signed_out(scene, chromium, server).page
    sign_in_again(page, "finance-2")
    address = f"/console/workitems/decisionstep/{scene.plain[0]}/"
    page.goto(address)
    expect(page.locator("textarea[name=comment]").first).to_have_value("")
    assert kept(page) is None
    end_session(page)
    page.goto(address)
    sign_in_again(page, "finance-1")
    expect(page.locator("textarea[name=comment]").first).to_have_value("")


def test_they_are_gone_after_an_hour_and_with_the_sign_out(
    demo: Demo, scene: Scene, chromium: Browser, server: str
) -> None:
    page = typed_and_signed_out(scene, chromium, server).page
    record = {**json.loads(str(kept(page))), "at": 0}
    page.evaluate("text => sessionStorage.setItem('threada.entries', text)", json.dumps(record))
    sign_in_again(page, "finance-1")
    expect(page.locator("#entries")).to_have_count(1)
    assert kept(page) is None
    page.goto(f"/console/workitems/decisionstep/{scene.plain[1]}/")
    page.locator("textarea[name=comment]").first.fill(COMMENT)
    waits_for_kept(page)
    page.locator("form[action$='/logout/']").evaluate("form => form.requestSubmit()")
    page.wait_for_url("**/logout/")
    assert kept(page) is None


def test_a_request_form_is_restored_with_its_rows(demo: Demo, chromium: Browser, server: str) -> None:
    demo.join("rita", roles=("requester",))
    with unit_of_work(demo.tenant.id):
        set_password(User.objects.get(username="rita"), PASSWORD, ctx=acting_system(demo.tenant))
    declared = {"action": "pay", "integration": "int_bank", "channel": "web_main"}
    put_workflow(demo, payload_schema=SCHEMA, request=declared, title=None, summary=None, related_by=None)
    before = stored(demo)
    watched = opened(chromium, server).watched
    watched.sign_in("rita", PASSWORD)
    page = watched.page
    page.goto("/console/request/payment_run")
    page.fill("[name='p/vendor']", "Hooli")
    page.select_option("[name='p/method']", label="card")
    page.fill("[name='p/holder']", "Rita")
    page.check("[name='p/urgent']")
    for number in range(2):
        page.click("button[name=_add]")
        page.fill(f"[name='p/lines/{number}/text']", f"row {number}")
    end_session(page)
    page.click("button.t-primary:has-text('Send request')")
    sign_in_again(page, "rita")
    assert page.url.endswith("/console/request/payment_run")
    expect(page.locator("[data-restored]")).to_be_visible()
    entered = {
        name: page.input_value(f"[name='{name}']")
        for name in ("p/vendor", "p/holder", "p/lines/0/text", "p/lines/1/text")
    }
    assert list(entered.values()) == ["Hooli", "Rita", "row 0", "row 1"]
    assert page.is_checked("[name='p/urgent']")
    assert stored(demo) == before
    page.click("button.t-primary:has-text('Send request')")
    page.wait_for_load_state()
    assert page.locator("#problems").all_inner_texts() == []
    page.wait_for_url("**/console/requests/wi_*/")
    with unit_of_work(demo.tenant.id):
        payload = WorkItem.objects.latest("id").payload
    assert payload == {
        "vendor": "Hooli", "amount_minor": 900, "method": "card", "holder": "Rita", "urgent": True,
        "lines": [{"text": "row 0"}, {"text": "row 1"}],
    }  # fmt: skip


def test_secrets_are_never_kept(demo: Demo, chromium: Browser, server: str) -> None:
    watched = opened(chromium, server).watched
    watched.sign_in("admin", PASSWORD)
    page = watched.page
    page.goto("/console/integrations/storedsecret/new/")
    page.fill("[name=secret_id]", "bank_key")
    page.fill("[name=value]", "SECRET-VALUE")
    waits_for_kept(page)
    found = page.evaluate(OPEN)
    assert "bank_key" in found
    assert "SECRET-VALUE" not in found
    page.goto("/console/integrations/integration/from-curl/")
    page.fill("[name=command]", "curl -H 'Authorization: Bearer SECRET-VALUE' https://example.com")
    page.fill("[name=name]", "typed")
    waits_for_kept(page)
    assert "SECRET-VALUE" not in page.evaluate(OPEN)
