"""Pages of second factors in Chromium, in both themes and sizes: enrolment, recovery codes, second step, step-up.

With `THREADA_PICTURES=<folder>` each page is also written there as a PNG.
"""

from __future__ import annotations

import os
from datetime import timedelta

import pyotp
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.factories import PASSWORD
from tests.journeys.demo import Demo
from threada_site.kernel import clock
from threada_site.tenancy.models import EnrolledFactor, RecoveryCode, Tenant

pytestmark = pytest.mark.browser

PICTURES = os.environ.get("THREADA_PICTURES")


def look_at(page: Page, name: str, width: int) -> None:
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def sign_in(page: Page, server: str) -> None:
    page.goto(f"{server}/console/login/?next=/console/")
    page.fill("input[name=username]", "finance-1")
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360)])
def test_a_person_enrols_and_signs_in(demo: Demo, chromium: Browser, server: str, scheme: str, width: int) -> None:
    Tenant.objects.filter(id=demo.tenant.id).update(require_mfa=True)
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})  # type: ignore[arg-type]
    page = context.new_page()
    look = f"{scheme}-{width}"
    sign_in(page, server)
    assert "/console/second-factors/" in page.url
    look_at(page, f"required-{look}", width)
    page.click("button[value=start]")
    assert page.evaluate("document.querySelector('.t-qr').naturalWidth") > 0
    look_at(page, f"enrolment-{look}", width)
    app = pyotp.TOTP(page.inner_text(".t-token").replace(" ", ""))
    page.fill("input[name=code]", app.now())
    page.fill("input[name=label]", "Phone")
    page.click("text=Add authenticator app")
    assert page.locator(".t-codes li").count() == 10
    look_at(page, f"codes-{look}", width)
    page.click("text=I have stored the codes")
    assert page.url == f"{server}/console/"
    page.goto(f"{server}/console/second-factors/")
    look_at(page, f"factors-{look}", width)
    page.goto(f"{server}/console/second-factors/confirm/")
    look_at(page, f"confirm-{look}", width)
    context.close()
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})  # type: ignore[arg-type]
    page = context.new_page()
    sign_in(page, server)
    assert page.get_attribute("input[name=code]", "autocomplete") == "one-time-code"
    look_at(page, f"second-step-{look}", width)
    page.fill("input[name=code]", "000000")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    look_at(page, f"second-step-wrong-{look}", width)
    page.click("text=Use a recovery code")
    look_at(page, f"recovery-{look}", width)
    page.click("text=Use your authenticator app")
    page.fill("input[name=code]", app.at(clock.now() + timedelta(seconds=30)))
    page.keyboard.press("Enter")
    page.wait_for_url(f"{server}/console/")
    assert EnrolledFactor.objects.count() == 1
    assert RecoveryCode.objects.count() == 10
    context.close()
