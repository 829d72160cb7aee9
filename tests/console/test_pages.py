"""Every page opens, takes a bounded number of statements, counts nothing, and offers no status to edit."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin import site
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from tests.console.busy import Busy
from tests.console.sign_in import Console, sign_in
from tests.factories import make_principal
from tests.journeys.demo import SMALL, Demo
from threada_site.console.public_id_urls import url_for_public_id
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.tenancy.quotas.counting import count_usage

USAGE = "/console/usage/"

LISTS = sorted(f"{model._meta.app_label}_{model._meta.model_name}" for model in site._registry)
BIG = ("workitems_workitem", "workitems_decisionstep", "integrations_execution", "telemetry_receipt")
LIST_STATEMENTS = 10
ROW_STATEMENTS = {
    "workitems_workitem": 14,
    "workitems_decisionstep": 14,
    "tenancy_membership": 24,
    "tenancy_accessholder": 24,
}
MOST_ROW_STATEMENTS = 18
DASHBOARD_STATEMENTS = 17


def statements(browser: Client, address: str) -> list[str]:
    """Return the SQL of one page, including session and sign-in, without BEGIN and COMMIT (savepoints in tests)."""
    with CaptureQueriesContext(
        connection,
    ) as captured:
        page = browser.get(address)
    assert page.status_code == 200, address
    return [query["sql"] for query in captured if "SAVEPOINT" not in query["sql"]]


def test_dashboard_shows_counts_and_links(demo: Demo, busy_demo: Busy, console: Console) -> None:
    browser = console("finance-1")
    asked = statements(browser, "/console/")
    assert len(asked) <= DASHBOARD_STATEMENTS, "\n".join(asked)
    page = browser.get("/console/")
    (part,) = page.context["parts"]
    assert [line.text.startswith("Pay Hooli") for line in part.lines] == [True]
    assert "Should pay be executed on int_bank?" in page.content.decode()
    assert {metric.label: metric.value for metric in page.context["metrics"]} == {
        "new": "0", "in review": "0", "awaiting approval": "1", "ready": "1", "executing": "0", "failed": "0",
        "outcome unknown": "0",
    }  # fmt: skip
    (chart,) = page.context["charts"]
    assert [sum(part.value for part in bar.parts) for bar in chart.bars] == [0] * 13 + [2]
    assert [values for _day, values in chart.rows] == [["0"]] * 13 + [["2"]]
    for bar, (_day, (count,)) in zip(chart.bars, chart.rows, strict=True):
        assert len(browser.get(bar.url).context["rows"]) == int(count)


def test_an_empty_tenant_says_what_to_do(demo: Demo) -> None:
    from tests.console.sign_in import sign_in
    from tests.factories import make_principal, make_tenant

    browser = sign_in(make_principal(make_tenant("empty"), "eve", roles=["tenant_admin"]))
    assert "There are no work items" in browser.get("/console/").content.decode()
    for name in LISTS:
        page = browser.get(reverse(f"admin:{name}_changelist"))
        assert page.status_code == 200
        if not page.context["rows"]:
            assert 'class="t-empty"' in page.content.decode(), name


@pytest.mark.parametrize("name", LISTS)
def test_every_list_and_row_opens(name: str, demo: Demo, busy_demo: Busy, console: Console) -> None:
    browser = console("admin")
    listed = reverse(f"admin:{name}_changelist")
    asked = statements(browser, listed)
    assert len(asked) <= LIST_STATEMENTS, "\n".join(asked)
    asked = [sql for sql in asked if "AS held" not in sql]  # the stewards of the tenant, for the notice above members
    assert [sql for sql in asked if re.search(r"\bCOUNT\(", sql, re.IGNORECASE)] == []
    assert [sql for sql in asked if re.search(r"\b(OFFSET|DISTINCT)\b", sql)] == []
    rows = browser.get(listed).context["rows"]
    assert rows
    for url, _ in rows[:3]:
        asked = statements(browser, url)
        assert len(asked) <= ROW_STATEMENTS.get(name, MOST_ROW_STATEMENTS), f"{url} takes {len(asked)}:\n" + "\n".join(
            asked
        )
        assert [sql for sql in asked if re.search(r"\bCOUNT\(", sql, re.IGNORECASE)] == []


def test_statements_do_not_grow_with_rows(demo: Demo, busy_demo: Busy, console: Console) -> None:
    browser = console("admin")
    addresses = [reverse(f"admin:{name}_changelist") for name in BIG]
    before = [len(statements(browser, address)) for address in addresses]
    for _ in range(5):
        demo.hand_in(SMALL)
    demo.wait()
    assert [len(statements(browser, address)) for address in addresses] == before


def test_no_page_offers_a_state_to_edit(demo: Demo, busy_demo: Busy, console: Console) -> None:
    """Check form fields (except filters) for status and state, and Django's own form pages."""
    browser = console("admin")
    for name in LISTS:
        for url, _ in browser.get(reverse(f"admin:{name}_changelist")).context["rows"][:2]:
            page = browser.get(url).content.decode()
            posts = re.findall(r'<form[^>]*method="post".*?</form>', page, re.DOTALL)
            fields = [field for form in posts for field in re.findall(r'name="([^"]+)"', form)]
            assert set(fields) <= {
                "csrfmiddlewaretoken", "envelope_sha256", "comment", "reason_code", "reason", "action", "input",
                "document_sha256", "sha256", "applies_to_open", "digest", "audience", "text", "back", "files",
            }, url  # fmt: skip
            assert browser.post(url, {"status": "resolved"}).status_code == 405
            base = url
            for beyond in ("delete/", "history/"):
                assert browser.get(base + beyond).status_code == 404
        assert browser.get(reverse(f"admin:{name}_changelist") + "add/").status_code == 404


def test_keyset_pages_follow_each_other(demo: Demo, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    from threada_site.admin import lists

    monkeypatch.setattr(lists, "PER_PAGE", 3)
    ids = [demo.hand_in(SMALL) for _ in range(7)][::-1]
    browser = console("admin")
    address = "/console/workitems/workitem/?workflow_id=payment_run"
    seen: list[str] = []
    pages = 0
    page: Any = browser.get(address).context
    while True:
        seen += [url.split("/")[-2] for url, _ in page["rows"]]
        pages += 1
        if not page["page"].older:
            break
        page = browser.get("/console/workitems/workitem/" + page["page"].older).context
    assert (seen, pages) == (ids, 3)
    back = browser.get("/console/workitems/workitem/" + page["page"].newer).context
    assert [url.split("/")[-2] for url, _ in back["rows"]] == ids[3:6]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=awaiting_approval", 1), ("status=failed", 0), ("workflow_id=policy_review", 1),
        ("channel_id=web_main", 2),        ("created_after=2020-01-01", 2), ("created_before=2020-01-01", 0),
        ("created_after=2999-01-01", 0),
        ("q=wi_00000000000000000000000000", 0), ("q=nonsense", 0),
    ],
)  # fmt: skip
def test_documented_filters_work_on_every_list(
    query: str, found: int, demo: Demo, busy_demo: Busy, console: Console
) -> None:
    assert len(console("admin").get(f"/console/workitems/workitem/?{query}").context["rows"]) == found


def test_filter_by_policy_version_and_search_by_id(demo: Demo, busy_demo: Busy, console: Console) -> None:
    browser = console("admin")
    version = demo.item(busy_demo.item)["policy_version_id"]
    rows = browser.get(f"/console/workitems/workitem/?policy_version_id={version}").context["rows"]
    assert [url.split("/")[-2] for url, _ in rows] == [busy_demo.item]
    assert len(browser.get(f"/console/workitems/workitem/?q={busy_demo.item}").context["rows"]) == 1
    assert browser.get(f"/console/find/?q={busy_demo.step}")["Location"] == reverse(
        "admin:workitems_decisionstep_change", args=[busy_demo.step]
    )
    assert "Nothing matches" in browser.get("/console/find/?q=rubbish").content.decode()


def test_every_id_leads_to_its_page() -> None:
    named = {admin.id_prefix: model for model, admin in site._registry.items() if not model._meta.proxy}
    named.pop("", None)
    assert {ids.WORK_ITEM, ids.FREEZE, ids.CHECKPOINT} <= named.keys()
    for prefix, model in named.items():
        some = ids.public_id(prefix, ids.new_uuid())
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
        assert url_for_public_id(some) == reverse(name, args=[some])
    assert [url_for_public_id(text) for text in ("", "_", "xx_01jz0000000000000000000000", "wi_x")] == [None] * 4


@pytest.mark.parametrize("query", ["status=nonsense", "created_after=tomorrow", "policy_version_id=x", "older=x"])
def test_bad_filters_are_said_or_ignored(query: str, demo: Demo, console: Console) -> None:
    page = console("admin").get(f"/console/workitems/workitem/?{query}")
    assert page.status_code == 200
    assert bool(page.context["page"].problems) == (query != "older=x")


def test_no_character_turns_the_text_of_a_page(demo: Demo, console: Console) -> None:
    payload = {"vendor": "ACME \u202e0001\u202c \u2066\u2069", "amount_minor": 5}
    item = demo.hand_in(payload)
    page = console("finance-1").get(f"/console/workitems/workitem/{item}/")
    assert page.status_code == 200
    assert 'ACME <span class="t-unseen" title="right-to-left override">U+202E</span>0001' in page.content.decode()
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", page.content.decode())


def test_usage_shows_used_and_limit(demo: Demo, console: Console, settings: Settings) -> None:
    settings.THREADA_QUOTAS = {**settings.THREADA_QUOTAS, "open_work_items": 3}
    demo.hand_in({"vendor": "Hooli", "amount_minor": 5})
    demo.hand_in({"vendor": "Hooli", "amount_minor": 5})
    with unit_of_work(demo.tenant.id):
        count_usage(demo.tenant.id, now=clock.now())
    page = console("admin").get(USAGE)
    assert page.status_code == 200
    rows = {row["name"]: row for row in page.context["rows"]}
    assert list(rows) == [
        "Open work items", "Policy drafts", "Exports", "Deliveries", "Running replays", "Trusted issuers",
        "Live exchanged tokens", "Provisioned people", "Provisioned groups", "Stored bytes",
    ]  # fmt: skip
    assert (rows["Open work items"]["tone"], rows["Open work items"]["state"]) == ("bad", "At the quota")
    assert rows["Exports"]["tone"] == ""
    assert "counted" in page.text
    assert "End open work items" in page.text


def test_a_requester_does_not_see_the_usage(demo: Demo, console: Console) -> None:
    browser = sign_in(make_principal(demo.tenant, "rita", roles=("requester",)))
    assert browser.get(USAGE).status_code == 403
    assert USAGE not in browser.get("/console/").text
    assert USAGE in console("admin").get("/console/").text


def test_row_pages_have_readable_addresses(demo: Demo, busy_demo: Busy, console: Console) -> None:
    browser = console("admin")
    old = f"/console/workitems/workitem/{busy_demo.item}/change/?whole=1"
    assert browser.get(old)["Location"] == f"/console/workitems/workitem/{busy_demo.item}/?whole=1"
    assert browser.post(old).status_code == 301
    document = "kind: Workflow\nid: new\nspec: {name: Named like a page, payload_schema: {type: object}, actions: []}\n"
    made = browser.post("/console/policies/workflow/new/", {"document": document})
    assert made["Location"] == "/console/policies/workflow/new/page/"
    assert "Named like a page" in browser.get(made["Location"]).content.decode()
    assert browser.get("/console/policies/workflow/new/").context["title"] == "New workflow"
