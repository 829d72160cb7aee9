"""Cookies and forms of the console over https, behind each documented front proxy on one machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.adversarial.clients.test_front_proxies import Front, caddy, certificate, get, nginx, running
from tests.browser.conftest import serving
from tests.browser.watched import Watched
from tests.factories import PASSWORD
from tests.journeys.demo import Demo
from tests.ports import free_port
from threada_site.tenancy.models import ConsoleSession

pytestmark = pytest.mark.browser
HOST = "threada.example.org"


@pytest.fixture(params=["nginx", "caddy"])
def front(request: pytest.FixtureRequest, demo: Demo, tmp_path: Path) -> Iterator[str]:
    """Yield the public address of a proxy with TLS in front of the web process."""
    binary = shutil.which(request.param)
    if binary is None:
        pytest.skip(f"{request.param} is not installed (apt-get install {request.param})")
    port, web_port = free_port(), free_port()
    address = f"https://{HOST}:{port}"
    proxies = {"THREADA_TRUSTED_PROXY": "true", "THREADA_TRUSTED_PROXIES": "127.0.0.1"}
    with ExitStack() as stack:
        stack.enter_context(serving(web_port, tmp_path, THREADA_PUBLIC_URL=address, **proxies))
        certificate(tmp_path)
        command = (nginx if request.param == "nginx" else caddy)(binary, tmp_path, port=port, web_port=web_port)
        stack.enter_context(running(command, port, tmp_path))
        yield address


def test_cookies_are_bound_to_the_host_and_forms_work(front: str, chromium: Browser) -> None:
    browser = chromium.browser_type.launch(
        executable_path=os.environ.get("THREADA_TEST_CHROMIUM") or shutil.which("chromium"),
        args=[
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--ignore-certificate-errors",  # also for the service worker
            f"--host-resolver-rules=MAP {HOST} 127.0.0.1",
        ],
    )
    try:
        context = browser.new_context(base_url=front, ignore_https_errors=True)
        watched = Watched(context.new_page())
        watched.sign_in("admin", PASSWORD)
        cookies = {cookie["name"]: cookie for cookie in context.cookies()}
        for name in ("__Host-threada_session", "__Host-threada_csrf"):
            found = cookies[name]
            assert (found["secure"], found["path"], found["domain"]) == (True, "/", HOST)
        assert cookies["__Host-threada_session"]["httpOnly"]
        assert not {"threada_session", "threada_csrf"} & cookies.keys()
        page = watched.page
        page.goto("/console/sessions/")
        expect(page.get_by_text("this session")).to_be_visible()
        assert ConsoleSession.objects.get().address == "127.0.0.1"
        page.goto("/console/password_change/")
        new = "another battery staple horse"
        for label, value in (("Current password", PASSWORD), ("New password", new), ("New password again", new)):
            page.get_by_label(label, exact=True).fill(value)
        page.get_by_role("button", name="Change password").click()
        expect(page.get_by_text("Your password is changed.")).to_be_visible()
        assert watched.complaints == []
        held = {cookie["name"]: cookie["value"] for cookie in context.cookies()}
        for origin, status in ((front, 302), ("https://evil.example.org", 403), (f"http://{HOST}", 403)):
            assert posted_from(origin, front, held) == status, origin
        assert Front(urlsplit(front).port or 443, 0).send(get("/metrics"), 1)[0] == 404
    finally:
        browser.close()


def posted_from(origin: str, front: str, cookies: dict[str, str]) -> int:
    """Send a form with the cookies and the CSRF token of the browser, from a page of `origin`. Return the status."""
    body = urlencode({"end": "others", "csrfmiddlewaretoken": cookies["__Host-threada_csrf"]})
    lines = [
        "POST /console/sessions/ HTTP/1.1",
        f"Host: {urlsplit(front).netloc}",
        f"Origin: {origin}",
        f"Cookie: {'; '.join(f'{name}={value}' for name, value in cookies.items())}",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
    ]
    request = "\r\n".join(lines) + f"\r\n\r\n{body}"
    return Front(urlsplit(front).port or 443, 0).send(request.encode(), 1)[0]
