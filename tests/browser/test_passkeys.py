"""Passkeys in Chromium: registration, sign-in without a password, step-up on a decision, and removal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from playwright.sync_api import Browser, Page

from tests.browser.conftest import serving
from tests.browser.test_accessibility import RULES, SIZES, serious
from tests.browser.virtual_authenticator import VirtualAuthenticator
from tests.browser.watched import Watched
from tests.factories import PASSWORD
from tests.journeys.demo import LARGE, Demo
from tests.ports import free_port
from threada_site.console.session_engine import SessionStore
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.tenancy.models import Passkey
from workitems.models import Vote

pytestmark = pytest.mark.browser

GUARDED = {
    "id": "guarded", "when": "ctx.action == 'pay'", "effect": "require_approval", "reason": "GUARDED",
    "approvals": {"role": "finance", "step_up": True, "authentication": "phishing_resistant"},
}  # fmt: skip

PICTURES = os.environ.get("THREADA_PICTURES")


@pytest.fixture
def localhost(demo: Demo, tmp_path: Path) -> Iterator[str]:
    """Run the web process; yield its address with a host name, because an IP address has no passkeys."""
    port = free_port()
    with serving(port, tmp_path):
        yield f"http://localhost:{port}"


@pytest.fixture(params=[(theme, size) for theme in ("light", "dark") for size in SIZES], ids="-".join)
def themed(request: pytest.FixtureRequest, chromium: Browser, localhost: str) -> Iterator[tuple[Watched, str]]:
    theme, size = request.param
    context = chromium.new_context(viewport=SIZES[size], base_url=localhost, color_scheme=theme)
    watched = Watched(context.new_page())
    yield watched, f"{theme}-{size}"
    context.close()
    assert watched.complaints == []


def look(watched: Watched, name: str) -> None:
    """Check a page with axe, and that it is not wider than the window. With THREADA_PICTURES, take a picture."""
    page = watched.page
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)
    assert serious(Axe().run(page, options=RULES).response["violations"]) == []
    assert not watched.overflows()


def register(page: Page, name: str) -> None:
    """Register the first passkey of the person who is signed in, and leave the page with the recovery codes."""
    page.goto("/console/second-factors/")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Register passkey").click()
    page.get_by_role("link", name="I have stored the codes").click()
    page.wait_for_url("**/console/")


def make_proof_old(page: Page) -> None:
    """Make the sign-in and the step-up of the session older than five minutes."""
    (key,) = [one["value"] for one in page.context.cookies() if one["name"] == settings.SESSION_COOKIE_NAME]  # type: ignore[typeddict-item]
    store = SessionStore(key)
    for name in ("reauthenticated_at", "signed_in_at"):
        store[name] = (clock.now() - timedelta(minutes=6)).timestamp()
    store.save()


def test_a_person_registers_a_passkey_signs_in_with_it_and_removes_it(demo: Demo, themed: tuple[Watched, str]) -> None:
    watched, name = themed
    page = watched.page
    watched.sign_in("finance-1", PASSWORD)
    own = VirtualAuthenticator(page)
    page.goto("/console/second-factors/")
    look(watched, f"passkeys-new-{name}")
    register(page, "Work laptop")
    page.goto("/console/second-factors/")
    look(watched, f"passkeys-{name}")
    assert len(own.credentials()) == 1
    own.set_answering(False)
    watched.sign_out()
    page.goto("/console/login/")
    page.get_by_role("button", name="Sign in with a passkey").wait_for()
    look(watched, f"passkeys-login-{name}")
    own.set_answering(True)
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/console/")
    page.goto("/console/second-factors/")
    page.get_by_role("button", name="Remove Work laptop").click()
    page.get_by_text("The second factor is removed.").wait_for()
    assert not Passkey.objects.exists()


def test_a_passkey_is_second_step_and_step_up_on_a_decision(demo: Demo, themed: tuple[Watched, str]) -> None:
    watched, name = themed
    page = watched.page
    demo.put_rules(GUARDED)
    item = demo.hand_in(LARGE)
    demo.execute(item)
    step = demo.step_of(item)["decision_step_id"]
    watched.sign_in("finance-1", PASSWORD)
    own = VirtualAuthenticator(page)
    register(page, "Work laptop")
    own.set_answering(False)
    watched.sign_out()
    page.goto("/console/login/?next=/console/")
    page.fill("input[name=username]", "finance-1")
    page.fill("input[name=password]", PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Use a passkey").wait_for()
    look(watched, f"passkeys-second-step-{name}")
    own.set_answering(True)
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/console/")
    make_proof_old(page)
    page.goto(f"/console/workitems/decisionstep/{step}/")
    look(watched, f"passkeys-step-up-{name}")
    page.get_by_role("button", name="Use a passkey").first.click()
    page.get_by_text("Your passkey was accepted. You can go on.").first.wait_for()
    look(watched, f"passkeys-accepted-{name}")
    page.get_by_role("button", name="Approve", exact=True).click()
    page.wait_for_load_state()
    with unit_of_work(demo.tenant.id):
        vote = Vote.objects.get(voter__username="finance-1")
    assert vote.authentication["factors"] == ["password", "passkey"]
