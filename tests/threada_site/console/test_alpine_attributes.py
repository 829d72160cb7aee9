"""Text that users write never lands in an attribute that the console's interface library evaluates.

The content security policy has to allow `unsafe-eval`, because unfold's templates contain such expressions.
"""

from __future__ import annotations

import re
from collections import deque
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urljoin, urlsplit

from integrations.configuration.configure import upsert_integration
from policies.publication.publish import upsert_policy
from tests.console.sign_in import sign_in
from tests.factories import acting_system
from tests.jobs import run_jobs
from tests.journeys.demo import Demo
from tests.workitems.office import BANK
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import User

PLANT: Final = "'+zqplant()+'"
MARK: Final = "zqplant"
MOST_PAGES: Final = 60
ID: Final = re.compile(r"[a-z]+_[0-9a-z]{26}|[0-9a-f-]{36}|\d+")
NOT_A_PAGE: Final = re.compile(r"/(logout|download|jsi18n|export)\b|\.(csv|json|ndjson|md)$")


class Attributes(HTMLParser):
    """Links of a page, texts with the mark, and evaluated attributes that contain it."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.evaluated: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name.startswith(("x-", "@", ":", "hx-on", "on")) and MARK in (value or "").lower():
                self.evaluated.append(f"<{tag} {name}={value!r}>")
            if tag == "a" and name == "href" and value:
                self.links.append(value)


def plant(demo: Demo) -> None:
    ctx = acting_system(demo.tenant)
    with unit_of_work(demo.tenant.id):
        upsert_policy(MARK, {"rules": [{"id": "a", "when": "true", "effect": "deny", "reason": "ZQPLANT"}]}, ctx=ctx)
        upsert_integration(f"int_{MARK}", {**BANK, "base_url": "https://example.com"}, ctx=ctx)
    item = demo.hand_in(
        {"vendor": PLANT, "amount_minor": 2_400_000, "invoice": PLANT},
        evidence={"citations": [{"source": PLANT, "locator": PLANT, "quote": PLANT}]},
        risk_flags=[PLANT],
        external_ref=PLANT,
    )
    demo.execute(item)
    run_jobs()


def test_text_of_users_is_in_no_evaluated_attribute(demo: Demo) -> None:
    plant(demo)
    seen: dict[str, int] = {}
    shown: list[str] = []
    evaluated: list[str] = []
    client = sign_in(User.objects.get(username="admin"))
    waiting, visited = deque(["/console/"]), 0
    while waiting and visited < MOST_PAGES:
        path = waiting.popleft()
        kind = ID.sub("…", path.split("?")[0])
        if seen.get(kind, 0) >= 2 or NOT_A_PAGE.search(path):
            continue
        seen[kind] = seen.get(kind, 0) + 1
        answer = client.get(path)
        if answer.status_code != 200 or not answer["Content-Type"].startswith("text/html"):
            continue
        visited += 1
        page = Attributes()
        text = answer.content.decode()
        page.feed(text)
        shown += [path] if MARK in text else []
        evaluated += [f"{path}: {found}" for found in page.evaluated]
        for link in page.links:
            target = urlsplit(urljoin(f"http://testserver{path}", link))
            if target.path.startswith("/console/") and target.netloc == "testserver":
                waiting.append(f"{target.path}?{target.query}" if target.query else target.path)
    assert evaluated == []
    assert visited > 30
    assert len(shown) > 5
