"""Sign-in at a real SAML provider on another site, in Chromium, over https."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from pytest_django import Settings

from tests.browser.conftest import CHROMIUM, FLAGS, serving
from tests.journeys.demo import Demo
from tests.ports import free_port
from tests.receivers.saml_process import saml_process
from tests.receivers.tls_proxy import tls_proxy
from tests.threada_site.sign_in.saml.people import put_saml
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.selectors import roles_of_member
from threada_site.sign_in.saml.service_provider import service_metadata
from threada_site.tenancy.models import IdentityLink

pytestmark = pytest.mark.browser

HOST = "threada.test"


@pytest.fixture
def console(demo: Demo, chromium: Browser, tmp_path: Path, settings: Settings) -> Iterator[tuple[str, BrowserContext]]:
    """Run the provider, the web process and TLS in front of it. Yield its address and a browser."""
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    port, tls_port = free_port(), free_port()
    public = f"https://{HOST}:{tls_port}"
    variables = {
        "THREADA_EGRESS_ALLOW": "127.0.0.1/32",
        "THREADA_PUBLIC_URL": public,
        "THREADA_TRUSTED_PROXY": "true",
    }
    resolved = chromium.browser_type.launch(
        executable_path=CHROMIUM, args=[*FLAGS, f"--host-resolver-rules=MAP {HOST} 127.0.0.1"]
    )
    described = service_metadata(f"{public}/console/login/demo/corp/callback")
    with saml_process(described, tmp_path) as provider, serving(port, tmp_path, **variables):
        where = f"{provider}/metadata"
        put_saml(demo.tenant, metadata=where, entity_id=where, roles={"finance": ["approver"]})
        with tls_proxy(tls_port, port, tmp_path):
            yield public, resolved.new_context(ignore_https_errors=True)
    resolved.close()


def log_in(page: Page, name: str) -> None:
    page.fill("input[name=login]", name)
    page.fill("input[name=password]", "any")
    page.get_by_role("button").click()


def test_an_employee_comes_back_from_another_site(demo: Demo, console: tuple[str, BrowserContext]) -> None:
    address, browser = console
    page = browser.new_page()
    page.goto(f"{address}/console/login/demo/corp")
    log_in(page, "ann")
    page.wait_for_url(f"{address}/console/")
    assert page.get_by_role("heading", name="Dashboard").count() >= 1
    cookies = {cookie["name"]: cookie for cookie in browser.cookies()}
    assert cookies["__Host-threada_session"]["sameSite"] == "Lax"
    assert not any(name.startswith("__Host-threada_sign_in") for name in cookies)
    with unit_of_work(demo.tenant.id):
        person = IdentityLink.objects.select_related("user").get().user
        assert roles_of_member(person, tenant_id=demo.tenant.id) == ["approver"]
    page.goto(f"{address}/console/step-up/provider?next=/console/sign-in-methods/")
    log_in(page, "ann")
    page.wait_for_url(f"{address}/console/sign-in-methods/")
    page.goto(f"{address}/console/step-up/provider?next=/console/sign-in-methods/")
    log_in(page, "mallory")
    page.get_by_text("step_up_failed").wait_for()
