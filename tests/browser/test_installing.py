"""The console can be installed, and its service worker keeps static files only."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Browser

from tests.browser.watched import Watched
from tests.factories import PASSWORD
from tests.journeys.demo import Demo

pytestmark = pytest.mark.browser

KEPT = """async () => {
  const found = [];
  for (const name of await caches.keys()) {
    for (const request of await (await caches.open(name)).keys()) found.push(new URL(request.url).pathname);
  }
  return found;
}"""
SCOPE = "async () => new URL((await navigator.serviceWorker.ready).scope).pathname"
CONTROLLED = "() => navigator.serviceWorker.controller !== null"


def test_the_service_worker_keeps_static_files_only(demo: Demo, chromium: Browser, server: str) -> None:
    context = chromium.new_context(base_url=server)
    watched = Watched(context.new_page())
    watched.sign_in("finance-1", PASSWORD)
    page = watched.page
    assert page.evaluate(SCOPE) == "/console/"
    page.wait_for_function(CONTROLLED)
    for address in ("/console/", "/console/workitems/workitem/", "/console/workitems/decisionstep/desk/"):
        page.goto(address)
    kept = page.evaluate(KEPT)
    assert "/static/console/console.css" in kept
    assert [path for path in kept if not path.startswith("/static/")] == []
    manifest = page.evaluate("async () => (await fetch(document.querySelector('link[rel=manifest]').href)).text()")
    described = json.loads(manifest)
    assert (described["start_url"], described["scope"]) == ("/console/", "/console/")
    for icon in described["icons"]:
        assert page.evaluate("async (address) => (await fetch(address)).status", icon["src"]) == 200
    context.set_offline(True)
    assert page.evaluate("async () => (await fetch('/static/console/console.css')).status") == 200
    assert page.evaluate("async () => fetch('/console/').then(() => 'a page', () => 'no page')") == "no page"
    context.close()
