"""Scripts planted in every text that users can write do not run on any page of the console (hostile experiment 53)."""

from __future__ import annotations

import re
from collections import deque
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import pytest
from playwright.sync_api import Browser, Dialog

from integrations.configuration.configure import upsert_integration
from policies.publication.publish import upsert_policy
from tests.browser.scene import RULES
from tests.browser.watched import Watched
from tests.factories import PASSWORD, acting_system
from tests.jobs import run_jobs
from tests.journeys.demo import Demo
from tests.workitems.office import BANK
from threada_site.database.unit_of_work import unit_of_work

pytestmark = pytest.mark.browser

PLANTS: Final = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "<svg/onload=alert(3)>",
    "javascript:alert(4)",
    "'-alert(5)-'",
    "</textarea><iframe srcdoc='<script>alert(6)</script>'></iframe>",
    "{{constructor.constructor('alert(7)')()}}",
    '" x-init="alert(8)" x-data="',
    '" @click="alert(9)" hx-get="/console/" hx-trigger="load',
)
PLANT: Final = " ".join(PLANTS)
MOST_PAGES: Final = 90
OF_ONE_KIND: Final = 2
ID: Final = re.compile(r"[a-z]+_[0-9a-z]{26}|[0-9a-f-]{36}|\d+")
WITHOUT_PAGE: Final = re.compile(r"/(logout|download|jsi18n|export)\b|\.(csv|json|ndjson|md)$")


def plant(demo: Demo) -> None:
    """Write the planted texts wherever a user of the tenant can write a text."""
    ctx = acting_system(demo.tenant)
    demo.put_rules(*({**rule, "message": PLANT} if "message" in rule else rule for rule in RULES), only=True)
    with unit_of_work(demo.tenant.id):
        upsert_policy("planted", {"rules": [RULES[-1]]}, ctx=ctx)
        upsert_integration("int_planted", {**BANK, "base_url": "https://example.com"}, ctx=ctx)
    for flag in ("new_vendor", PLANT[:64]):
        item = demo.hand_in(
            {"vendor": PLANT[:200], "amount_minor": 2_400_000, "invoice": PLANT[:100]},
            evidence={"citations": [{"source": text, "locator": text, "quote": text} for text in (PLANT, *PLANTS)]},
            risk_flags=[flag],
            external_ref=PLANT[:255],
        )
        demo.execute(item)
        run_jobs()
    demo.vote("finance-2", demo.step_of(item), "reject", reason_code="OTHER", comment=PLANT)
    run_jobs()


def pages_of(watched: Watched) -> list[str]:
    """Visit the pages that links of the console lead to, at most two of a kind. Return their addresses."""
    page, seen, visited = watched.page, dict[str, int](), list[str]()
    waiting = deque(["/console/"])
    while waiting and len(visited) < MOST_PAGES:
        path = waiting.popleft()
        kind = ID.sub("…", path.split("?")[0])
        if seen.get(kind, 0) >= OF_ONE_KIND or WITHOUT_PAGE.search(path):
            continue
        seen[kind] = seen.get(kind, 0) + 1
        page.goto(path)
        page.wait_for_load_state("networkidle")
        visited.append(path)
        links: list[str] = page.eval_on_selector_all("a[href]", "all => all.map(each => each.getAttribute('href'))")
        assert not [link for link in links if link.strip().lower().startswith(("javascript:", "data:"))], path
        for link in links:
            target = urlsplit(urljoin(page.url, link))
            if target.path.startswith("/console/") and target.netloc == urlsplit(page.url).netloc:
                waiting.append(f"{target.path}?{target.query}" if target.query else target.path)
    return visited


def test_no_planted_script_runs(demo: Demo, chromium: Browser, server: str) -> None:
    plant(demo)
    context = chromium.new_context(base_url=server)
    watched = Watched(context.new_page())
    dialogs: list[str] = []

    def note(dialog: Dialog) -> Any:
        dialogs.append(dialog.message)
        dialog.dismiss()

    watched.page.on("dialog", note)
    watched.sign_in("admin", PASSWORD)
    visited = pages_of(watched)
    context.close()
    print(f"\n{len(visited)} pages")
    assert dialogs == []
    assert watched.complaints == []
    assert len(visited) > 50
