"""Sign-in at a real identity provider, in Chromium and with the web process of `up`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser
from pytest_django import Settings

from tests.browser.conftest import serving
from tests.factories import acting_system
from tests.journeys.demo import Demo
from tests.ports import free_port
from tests.receivers.oidc_process import oidc_process
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import EntryPoint
from workitems.configuration.kinds.identity_providers import put_identity_provider

pytestmark = pytest.mark.browser

PICTURES = os.environ.get("THREADA_PICTURES")


def test_an_employee_signs_in_from_the_page_of_the_tenant(
    demo: Demo, chromium: Browser, tmp_path: Path, settings: Settings
) -> None:
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with oidc_process(f"{address}/console/login/demo/corp/callback") as issuer:
        spec = {
            "protocol": "oidc",
            "name": "Corp",
            "issuer": issuer,
            "client_id": "threada",
            "client_secret": {"env": "CORP_OIDC_SECRET"},
            "scopes": ["openid", "email", "profile", "groups"],
            "roles": {"finance": ["approver"]},
            "create_accounts": True,
        }
        with unit_of_work(demo.tenant.id):
            put_identity_provider("corp", spec, ctx=acting_system(demo.tenant, EntryPoint.COMMAND))
        secrets = {"CORP_OIDC_SECRET": "client-secret", "THREADA_EGRESS_ALLOW": "127.0.0.1/32"}
        with serving(port, tmp_path, **secrets):
            for scheme in ("light", "dark"):
                for width in (1440, 390):
                    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
                    page = context.new_page()
                    for name, path in (
                        ("providers", "login/demo/"),
                        ("company", "company-sign-in/"),
                        ("refused", "login/demo/corp/callback?state=x"),
                    ):
                        page.goto(f"{address}/console/{path}")
                        if PICTURES:
                            page.screenshot(path=f"{PICTURES}/{name}-{width}-{scheme}.png")
                        found = Axe().run(page).response["violations"]
                        assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
                        assert page.evaluate("document.documentElement.scrollWidth") <= width
                    context.close()
            page = chromium.new_page()
            page.goto(f"{address}/console/login/demo/")
            page.get_by_role("link", name="Sign in with Corp").click()
            page.fill("input[name=login]", "ann")
            page.fill("input[name=password]", "any")
            page.get_by_role("button").first.click()
            page.get_by_role("button", name="Continue").click()
            page.wait_for_url(f"{address}/console/")
            assert page.get_by_role("heading", name="Dashboard").count() >= 1
            page.close()
