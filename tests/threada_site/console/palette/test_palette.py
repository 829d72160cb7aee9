"""The command palette: pages, actions and work items that the person may open."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.console.sign_in import Console, sign_in
from tests.factories import make_principal, make_tenant
from tests.journeys.demo import Demo
from threada_site.kernel import clock
from workitems.search.sweep import index_changes

SUGGEST = "/console/find/suggest/"


@pytest.fixture
def item(demo: Demo) -> str:
    item = demo.hand_in({"vendor": "Hooli", "amount_minor": 900, "invoice": "R-7"}, external_ref="INV-2026-0008")
    index_changes(now=clock.now())
    return item


def suggested(browser: Client, text: str) -> dict[str, list[str]]:
    answer = browser.get(SUGGEST, {"q": text})
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    return {section["title"]: [entry["url"] for entry in section["entries"]] for section in answer.json()["sections"]}


def test_work_items_pages_and_actions_are_found(demo: Demo, item: str, console: Console) -> None:
    browser = console("admin")
    assert suggested(browser, "INV-2026-0008")["Work items"] == [f"/console/workitems/workitem/{item}/"]
    assert suggested(browser, "inv 0008") == suggested(browser, "INV-2026-0008")
    assert suggested(browser, "queue")["Pages"] == ["/console/workitems/workitem/"]
    assert suggested(browser, item)["Go to"] == [f"/console/workitems/workitem/{item}/"]
    assert any("freeze" in url for url in suggested(browser, "freeze")["Actions"])
    assert "Pages" in suggested(browser, "")
    assert suggested(browser, "zzzz") == {}


@pytest.mark.parametrize("text", ["x" * 10_000, "a\x00b", "-a", " ".join(["w"] * 1_000), "'", "%", "<script>"])
def test_odd_texts_are_answered(demo: Demo, item: str, console: Console, text: str) -> None:
    answer = console("admin").get(SUGGEST, {"q": text})
    assert answer.status_code == 200
    assert item not in answer.content.decode()
    assert console("admin").get("/console/find/", {"q": text}).status_code == 200


def test_a_person_finds_only_what_it_may_open(demo: Demo, item: str, console: Console) -> None:
    make_principal(demo.tenant, "rosa", roles=("requester",))
    requester = console("rosa")
    assert suggested(requester, "INV-2026-0008") == {}
    assert "Pages" not in suggested(requester, "secrets")
    assert not any("freeze" in url for url in suggested(requester, "freeze").get("Actions", []))
    stranger = sign_in(make_principal(make_tenant("other"), "olga", roles=("tenant_admin",)))
    assert suggested(stranger, "INV-2026-0008") == {}


def test_a_stranger_is_not_answered(demo: Demo, item: str) -> None:
    answer = Client().get(SUGGEST, {"q": "INV"})
    assert answer.status_code == 302
    assert answer["Location"].startswith("/console/login/")


def test_a_keystroke_takes_three_statements_besides_the_session(demo: Demo, item: str, console: Console) -> None:
    browser = console("admin")

    def statements(text: str) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            browser.get(SUGGEST, {"q": text})
        return [query["sql"] for query in captured.captured_queries]

    statements("x")
    base = statements("x")
    assert len(statements("INV-2026-0008")) == len(base) + 3
    assert len(statements("nothing-like-it")) == len(base) + 2


def test_the_page_works_without_a_script(demo: Demo, item: str, console: Console) -> None:
    page: Any = console("admin").get("/console/find/?q=hooli").content.decode()
    assert f'href="/console/workitems/workitem/{item}/"' in page
