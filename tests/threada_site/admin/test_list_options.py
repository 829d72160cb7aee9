"""Lists: search, columns, orders, saved and shared views, downloads, actions on several rows."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import orjson
import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from telemetry.models import Receipt
from tests.console.conftest import console, demo
from tests.console.sign_in import Console, sign_in
from tests.factories import make_principal, make_tenant
from tests.journeys.demo import Demo
from threada_site.admin import lists
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from workitems.models import SavedView, WorkItem
from workitems.search.sweep import index_changes

__all__ = ["console", "demo"]

QUEUE = "/console/workitems/workitem/"
EXECUTIONS = "/console/integrations/execution/"
RECEIPTS = "/console/telemetry/receipt/"


@pytest.fixture
def items(demo: Demo) -> list[str]:
    """Return three payments, oldest first. All can be searched for."""
    names = ("Hooli", '=HYPERLINK("evil")', "Umbrella")
    found = [
        demo.hand_in({"vendor": name, "amount_minor": 900, "invoice": f"R-{place}"}, external_ref=name)
        for place, name in enumerate(names)
    ]
    index_changes(now=clock.now())
    return found


def ids_on(browser: Client, query: str, address: str = QUEUE) -> list[str]:
    page = browser.get(address + query)
    assert page.status_code == 200
    return [url.split("/")[-2] for url, _ in page.context["rows"]]


def columns_on(browser: Client, query: str, address: str = QUEUE) -> list[str]:
    return [header.column.name for header in browser.get(address + query).context["headers"]]


def post(browser: Client, name: str, *args: str, **sent: Any) -> tuple[str, list[str]]:
    answer = browser.post(reverse(f"admin:{name}", args=args), sent)
    assert answer.status_code == 302, answer.content[:500]
    return answer["Location"], [str(message) for message in get_messages(answer.wsgi_request)]


def test_the_queue_is_searched_sorted_and_filtered(demo: Demo, items: list[str], console: Console) -> None:
    browser = console("admin")
    assert ids_on(browser, "?q=hooli") == [items[0]]
    assert ids_on(browser, "?q=r-1&status=new") == [items[1]]
    assert ids_on(browser, "?q=hooli&status=resolved") == []
    assert ids_on(browser, f"?q={items[2]}") == [items[2]]
    newest = ids_on(browser, "")
    assert ids_on(browser, "?sort=reversed") == newest[::-1]
    assert "only excludes" in browser.get(f"{QUEUE}?q=-hooli").content.decode()
    assert browser.get(f"{QUEUE}?q={'x' * 10_000}").status_code == 200


def test_a_list_sorted_by_a_column_is_walked_in_both_directions(
    demo: Demo, items: list[str], console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = console("admin")
    with unit_of_work(demo.tenant.id):
        for number, channel in enumerate(["web", "", "b~c"]):
            item = ids.parse_public_id(ids.WORK_ITEM, items[number])
            WorkItem.objects.filter(id=item).update(channel=channel, workflow=f"w{number % 2}")
    monkeypatch.setattr(lists, "PER_PAGE", 2)
    for column, field in (("status", "status"), ("workflow", "workflow"), ("channel", "channel"), ("received", "id")):
        with unit_of_work(demo.tenant.id):
            rows = [row.public_id for row in WorkItem.objects.order_by(field, "id")]
        for sort, wanted in ((column, rows), (f"-{column}", rows[::-1])):
            query, pages = f"?columns={column}&sort={sort}", []
            while query:
                page = browser.get(QUEUE + query).context["page"]
                pages.append([row.public_id for row in page.rows])
                back, query = page.newer, page.older
            assert [key for shown in pages for key in shown] == wanted
            assert ids_on(browser, back) == pages[-2]
            (header,) = [header for header in page.headers if header.sorted]
            assert (header.column.name, header.sorted[:3]) == (column, "des" if sort[0] == "-" else "asc")


def test_only_indexed_columns_are_sorted_by(demo: Demo, items: list[str], console: Console) -> None:
    browser = console("admin")
    newest = ids_on(browser, "")
    for query in ("?sort=requester", "?sort=--status", "?sort=payload", "?sort=status&older=x~y", "?sort=&older=~"):
        assert set(ids_on(browser, query)) == set(newest)
    assert ids_on(browser, "?sort=-received") == newest
    assert ids_on(browser, "?sort=status&q=hooli") == [items[0]]
    requester = sign_in(make_principal(demo.tenant, "rosa", roles=("requester",)))
    headers = {header.column.name: header.query for header in requester.get(QUEUE).context["headers"]}
    assert [name for name, query in headers.items() if query] == ["received"]


@pytest.mark.parametrize("address", [f"{QUEUE}?q=hooli", "/console/find/?q=hooli", "/console/find/suggest/?q=hooli"])
def test_a_search_that_takes_too_long_is_a_message(
    demo: Demo, items: list[str], console: Console, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    browser = console("admin")
    monkeypatch.setattr("workitems.search.find._TIME_LIMIT", "20ms")
    monkeypatch.setattr("workitems.search.find._FIND", "SELECT pg_sleep(5), %s::text, %s::uuid, %s::uuid, %s::text")
    answer = browser.get(address)
    assert answer.status_code == 200
    assert "longer than five seconds" in answer.content.decode()


def test_columns_are_selected(demo: Demo, items: list[str], console: Console) -> None:
    browser = console("admin")
    assert columns_on(browser, "") == ["item", "status", "workflow", "requester", "risk", "received"]
    assert columns_on(browser, "?columns=channel&columns=reference") == ["item", "channel", "reference"]
    assert columns_on(browser, "?columns=channel,reference,nonsense") == ["item", "channel", "reference"]
    assert columns_on(browser, "?columns=nonsense") == columns_on(browser, "")
    assert columns_on(browser, "?columns=item", EXECUTIONS)[0] == "execution"
    assert columns_on(browser, "?columns=status", RECEIPTS) == ["kind", "status"]


class TestViews:
    def test_a_view_is_saved_opened_and_deleted(self, demo: Demo, items: list[str], console: Console) -> None:
        browser = console("admin")
        where, said = post(
            browser, "workitems_workitem_save_list_view", "queue",
            view_name="Hooli", q="hooli", columns="reference", sort="reversed", older="x", nonsense="1",
        )  # fmt: skip
        assert said == ["View saved as “Hooli”."]
        assert ids_on(browser, where.removeprefix(QUEUE)) == [items[0]]
        (view,) = browser.get(where).context["views"]["saved"]
        assert (view.name, view.is_shown, view.is_shared, view.may_delete) == ("Hooli", True, False, True)
        assert browser.get(RECEIPTS).context["views"]["saved"] == []
        post(browser, "workitems_workitem_delete_list_view", "queue", view=view.key)
        assert browser.get(QUEUE).context["views"]["saved"] == []

    def test_a_shared_view_shows_each_reader_its_own_rows(self, demo: Demo, items: list[str], console: Console) -> None:
        post(
            console("admin"), "workitems_workitem_save_list_view", "queue",
            view_name="All payments", workflow_id="payment_run", is_shared="true",
        )  # fmt: skip
        make_principal(demo.tenant, "rosa", roles=("requester",))
        requester = console("rosa")
        (view,) = requester.get(QUEUE).context["views"]["saved"]
        assert (view.is_shared, view.may_delete) == (True, False)
        assert ids_on(requester, view.query) == []
        refused = requester.post(
            reverse("admin:workitems_workitem_delete_list_view", args=["queue"]), {"view": view.key}
        )
        assert refused.status_code == 404
        stranger = sign_in(make_principal(make_tenant("other"), "olga", roles=("tenant_admin",)))
        assert stranger.get(QUEUE).context["views"]["saved"] == []
        assert (
            stranger.post(
                reverse("admin:workitems_workitem_delete_list_view", args=["queue"]), {"view": view.key}
            ).status_code
            == 404
        )

    def test_only_who_manages_a_workflow_shares(self, demo: Demo, items: list[str], console: Console) -> None:
        _, said = post(
            console("finance-1"), "workitems_workitem_save_list_view", "queue",
            view_name="Mine", status="new", is_shared="true",
        )  # fmt: skip
        assert said[0].endswith("(permission_denied)")
        with unit_of_work(demo.tenant.id):
            assert SavedView.objects.count() == 0

    def test_own_views_are_seen_by_nobody_else(self, demo: Demo, items: list[str], console: Console) -> None:
        post(console("finance-1"), "workitems_workitem_save_list_view", "queue", view_name="Mine", status="new")
        assert console("admin").get(QUEUE).context["views"]["saved"] == []

    @pytest.mark.parametrize("page", ["nothing", "decisions"])
    def test_unknown_lists_have_no_views(self, demo: Demo, console: Console, page: str) -> None:
        address = reverse("admin:workitems_workitem_save_list_view", args=[page])
        assert console("admin").post(address, {"view_name": "x", "status": "new"}).status_code == 404


class TestDownload:
    def download(self, browser: Client, name: str, **sent: str) -> list[list[str]]:
        answer: Any = browser.post(reverse(f"admin:{name}_csv"), sent)
        assert answer.status_code == 200
        assert answer["Content-Type"].startswith("text/csv")
        assert answer["Content-Disposition"].startswith("attachment")
        return list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode())))

    def test_it_contains_what_the_list_shows(self, demo: Demo, items: list[str], console: Console) -> None:
        head, *rows = self.download(console("admin"), "workitems_workitem", q="r-0", columns="id,status,reference")
        assert head == ["Work item", "Status", "Id", "Reference"]
        assert [row[1:] for row in rows] == [["new", items[0], "Hooli"]]

    def test_times_are_exact_in_the_download_and_relative_on_the_page(
        self, demo: Demo, items: list[str], console: Console
    ) -> None:
        _, *rows = self.download(console("admin"), "workitems_workitem", columns="received")
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", row[1]) for row in rows), rows
        page = console("admin").get(QUEUE).content.decode()
        assert re.search(r'<time datetime="[^"]+Z" title="[-\d]{10} [:\d]{8} UTC">\d+ \w+ ago</time>', page)

    def test_no_cell_is_a_formula(self, demo: Demo, items: list[str], console: Console) -> None:
        _, *rows = self.download(console("admin"), "workitems_workitem", columns="reference")
        assert [row[1] for row in rows if "HYPERLINK" in row[1]] == ['\'=HYPERLINK("evil")']

    def test_only_html_loses_its_tags(self, demo: Demo, items: list[str], console: Console) -> None:
        written = ("Acme <1,000,000 EUR>", "<<<b>b>b>" * 20 + " &amp; <b", "a &lt; b")
        for place, reference in enumerate(written):
            demo.hand_in({"vendor": "<i>Hooli", "amount_minor": 900, "invoice": f"T-{place}"}, external_ref=reference)
        _, *rows = self.download(console("admin"), "workitems_workitem", columns="reference", sort="reversed")
        assert tuple(row[1] for row in rows)[-3:] == written

    def test_it_leaves_a_receipt_without_texts(self, demo: Demo, items: list[str], console: Console) -> None:
        self.download(console("admin"), "workitems_workitem", q="hooli", columns="reference")
        with unit_of_work(demo.tenant.id):
            body = orjson.loads(bytes(Receipt.objects.get(kind="list.downloaded").body))
        assert body["inputs"]["list"] == "workitem"
        assert body["inputs"]["columns"] == ["item", "reference"]
        assert "hooli" not in str(body).lower()

    def test_a_requester_downloads_own_rows_only(self, demo: Demo, items: list[str], console: Console) -> None:
        make_principal(demo.tenant, "rosa", roles=("requester",))
        assert len(self.download(console("rosa"), "workitems_workitem")) == 1
        assert len(self.download(console("rosa"), "integrations_execution")) == 1
        refused = console("rosa").post(reverse("admin:telemetry_receipt_csv"), {})
        assert refused.status_code == 403

    def test_pages_are_read_one_after_the_other(
        self, demo: Demo, items: list[str], console: Console, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("telemetry.admin.list_csv.ROWS_PER_READ", 2)
        _, *rows = self.download(console("admin"), "workitems_workitem", columns="id", sort="reversed")
        assert [row[1] for row in rows if row[1] in items] == items
        assert len(self.download(console("admin"), "telemetry_receipt")) > 3

    def test_a_get_downloads_nothing(self, demo: Demo, console: Console) -> None:
        assert console("admin").get(reverse("admin:workitems_workitem_csv")).status_code == 405


class TestSeveralRows:
    URL = f"{QUEUE}bulk/"

    def test_each_row_is_answered_separately(self, demo: Demo, items: list[str], console: Console) -> None:
        browser = console("admin")
        with unit_of_work(demo.tenant.id):
            WorkItem.objects.filter(payload__invoice="R-1").update(status="resolved")
        sent = {"do": "cancel", "row": [*items, "wi_nonsense"]}
        asked = browser.post(self.URL, sent)
        assert "3 selected" in asked.content.decode()
        with unit_of_work(demo.tenant.id):
            assert WorkItem.objects.filter(status="cancelled").count() == 0
        done = browser.post(self.URL, {**sent, "confirmed": "true", "given_reason": "Duplicates"})
        assert [answer.is_done for answer in done.context["answers"]] == [True, False, True]
        assert "transition_not_allowed" in done.context["answers"][1].text
        with unit_of_work(demo.tenant.id):
            assert {str(item.ended_reason) for item in WorkItem.objects.filter(status="cancelled")} == {"Duplicates"}

    def test_all_that_match_are_chosen_with_an_honest_number(
        self, demo: Demo, items: list[str], console: Console, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("threada_site.admin.bulk.MOST_AT_ONCE", 2)
        page = console("admin").post(self.URL, {"do": "cancel", "all": "true", "status": "new"})
        assert [key for key, _, _ in page.context["rows"]] == items[:0:-1]
        assert page.context["is_cut"] is True
        assert "More match" in page.content.decode()

    def test_nobody_acts_on_rows_of_others(self, demo: Demo, items: list[str], console: Console) -> None:
        stranger = sign_in(make_principal(make_tenant("other"), "olga", roles=("tenant_admin",)))
        make_principal(demo.tenant, "rosa", roles=("requester",))
        for browser in (stranger, console("rosa")):
            page = browser.post(self.URL, {"do": "cancel", "row": items, "confirmed": "true"})
            assert (page.status_code, page.context["answers"]) == (200, [])
        with unit_of_work(demo.tenant.id):
            assert WorkItem.objects.filter(status="cancelled").count() == 0

    def test_other_actions_and_readers_are_refused(self, demo: Demo, items: list[str], console: Console) -> None:
        assert console("admin").post(self.URL, {"do": "execute", "row": items}).status_code == 404
        assert console("admin").get(self.URL).status_code == 405
        make_principal(demo.tenant, "vic", roles=("viewer",))
        refused = console("vic").post(self.URL, {"do": "cancel", "row": items, "confirmed": "true"})
        assert refused.status_code == 403
        assert console("vic").get(QUEUE).context["bulk_url"] == ""
