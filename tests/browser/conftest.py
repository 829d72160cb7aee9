"""Fixtures of browser tests: Chromium, a server process, and the demo tenant in the test database."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.watched import Watched
from tests.factories import PASSWORD, acting_system
from tests.jobs import run_jobs
from tests.journeys.demo import Demo, put_real_bank
from tests.ports import free_port
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.passwords import set_password
from threada_site.runtime.management.commands.up import web_command
from threada_site.runtime.prepare import DEMO_PEOPLE, seed_demo
from threada_site.tenancy.models import Tenant, User

# On a busy machine a page takes long; what holds is seen at once.
expect.set_options(timeout=60_000)

CHROMIUM = os.environ.get("THREADA_TEST_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    # Playwright's loop runs in this thread; Django would treat it as an async context.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def demo(transactional_db: None) -> Demo:
    """Create the tenant `demo`, visible to other processes; all people have the same password."""
    secrets = seed_demo()
    demo = Demo(Tenant.objects.get(slug="demo"), secrets)
    put_real_bank(demo.tenant)
    with unit_of_work(demo.tenant.id):
        for name in DEMO_PEOPLE:
            set_password(User.objects.get(username=name), PASSWORD, ctx=acting_system(demo.tenant))
    run_jobs()
    return demo


@pytest.fixture(scope="session")
def web_started_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Return a function that gives the address of one web process for all tests, and starts it at the first call."""
    started: list[str] = []
    with ExitStack() as ended_at_last:

        def address() -> str:
            if not started:
                port = free_port()
                ended_at_last.enter_context(serving(port, tmp_path_factory.mktemp("web")))
                started.append(f"http://127.0.0.1:{port}")
            return started[0]

        yield address


@pytest.fixture
def server(demo: Demo, web_started_once: Callable[[], str]) -> str:
    """Return the address of a web process as `up` runs it, on the test database."""
    return web_started_once()


@contextmanager
def serving(port: int, folder: Path, **variables: str) -> Iterator[None]:
    """Run a web process on the test database, with these environment variables."""
    environment = {
        **os.environ,
        "THREADA_DATA_DIR": str(settings.THREADA_DATA_DIR),
        "PYTHONPATH": str(settings.THREADA_BASE_DIR),
        "DJANGO_SETTINGS_MODULE": "tests.browser.settings",
        "THREADA_TEST_DATABASE": str(connection.settings_dict["NAME"]),
        **variables,
    }
    command = web_command(host="127.0.0.1", port=port, processes=1)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [command[0], *command[1:]], stdout=log, stderr=log, env=environment, cwd=settings.THREADA_BASE_DIR
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/healthz", process)
            yield
        finally:
            process.terminate()
            process.wait(15)


@pytest.fixture(params=["wide", "narrow"])
def page(request: pytest.FixtureRequest, chromium: Browser, server: str) -> Iterator[Watched]:
    """Yield a page, in a window and on a phone, that fails the test for any error on it."""
    size = {"width": 1360, "height": 900} if request.param == "wide" else {"width": 360, "height": 740}
    context = chromium.new_context(viewport=size, base_url=server)
    watched = Watched(context.new_page())
    yield watched
    context.close()
    assert watched.complaints == []


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the server did not answer")
