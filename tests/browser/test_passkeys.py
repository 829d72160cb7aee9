"""Passkeys in Chromium: registration, sign-in without a password, step-up on a decision, and removal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.browser.conftest import serving
from tests.browser.test_accessibility import RULES, SIZES, serious
from tests.browser.virtual_authenticator import VirtualAuthenticator
from tests.browser.watched import Watched
from tests.factories import PASSWORD
from tests.journeys.demo import Demo
from tests.ports import free_port
from threada_site.tenancy.models import Passkey

pytestmark = pytest.mark.browser

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


def confirm(page: Page) -> None:
    page.goto("/console/passkeys/")
    if page.get_by_role("button", name="Confirm").count():
        page.get_by_label("Your password").fill(PASSWORD)
        page.get_by_role("button", name="Confirm").click()
        page.get_by_role("heading", name="New passkey").wait_for()


def register(page: Page, name: str) -> None:
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Register passkey").click()
    page.get_by_text("Your passkey is registered.").wait_for()


def test_a_person_registers_a_passkey_signs_in_with_it_and_removes_it(demo: Demo, themed: tuple[Watched, str]) -> None:
    watched, name = themed
    page = watched.page
    watched.sign_in("finance-1", PASSWORD)
    own = VirtualAuthenticator(page)
    page.goto("/console/passkeys/")
    look(watched, f"passkeys-confirm-{name}")
    confirm(page)
    look(watched, f"passkeys-new-{name}")
    register(page, "Work laptop")
    look(watched, f"passkeys-{name}")
    assert len(own.credentials()) == 1
    own.be_present(False)
    watched.sign_out()
    page.goto("/console/login/")
    page.get_by_role("button", name="Sign in with a passkey").wait_for()
    look(watched, f"passkeys-login-{name}")
    own.be_present(True)
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/console/")
    confirm(page)
    page.get_by_role("button", name="Remove passkey Work laptop").click()
    page.get_by_text("Your passkey is removed.").wait_for()
    assert not Passkey.objects.exists()
