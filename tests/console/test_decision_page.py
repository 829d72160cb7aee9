"""Page of one decision: contents, hidden parts and number of statements."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.console.busy import Busy
from tests.console.sign_in import Console
from tests.journeys.demo import LARGE, Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.tenancy.models import User
from workitems.models import DecisionStep, Vote

STATEMENTS = 15
"""Most statements of a decision page, with session and sign-in; without an earlier version one fewer. Three of them open
and close a savepoint, which a process does by BEGIN and COMMIT."""
APPROVE = re.compile(r"<button[^>]*data-key-approve[^>]*>")


def address(step_id: str, query: str = "") -> str:
    return reverse("admin:workitems_decisionstep_change", args=[step_id]) + query


def page_of(browser: Client, step_id: str, query: str = "") -> Any:
    page = browser.get(address(step_id, query))
    assert page.status_code == 200
    return page


def statements(browser: Client, step_id: str) -> int:
    page_of(browser, step_id)  # values that a process reads once
    with CaptureQueriesContext(connection) as captured:
        page_of(browser, step_id)
    return len(captured)


def ask(demo: Demo, payload: dict[str, Any], **more: Any) -> dict[str, Any]:
    item = demo.hand_in(payload, **more)
    assert demo.execute(item).status_code == 202
    return demo.step_of(item)


def advise(demo: Demo, step_id: str, count: int, kind: str = "agent") -> None:
    """Write `count` advisory votes in bulk."""
    with unit_of_work(demo.tenant.id):
        step = DecisionStep.objects.get(id=ids.parse_public_id(ids.DECISION_STEP, step_id))
        users = User.objects.bulk_create(
            [
                User(
                    username=f"{kind}-{place}",
                    kind=kind,
                    password="!",
                    home_tenant=None if kind == "human" else demo.tenant,
                )
                for place in range(count)
            ],
            batch_size=2000,
        )
        Vote.objects.bulk_create(
            [
                Vote(
                    tenant_id=demo.tenant.id, step=step, voter=user, voter_kind=kind, decision="approve",
                    comment=f"advice {place}", envelope_sha256=step.envelope_sha256, counted=kind == "human",
                )
                for place, user in enumerate(users)
            ],
            batch_size=2000,
        )  # fmt: skip


def test_decision_page_shows_everything_needed(demo: Demo, console: Console) -> None:
    evidence = {"citations": [{"source": "contract", "locator": "4.2", "quote": "in arrears"}]}
    step = ask(demo, LARGE, evidence=evidence, risk_flags=["new_vendor"], confidence=0.9)
    page = page_of(console("finance-1"), step["decision_step_id"])
    body = page.content.decode()
    for expected in (
        "Should pay be executed on int_bank?", "http://127.0.0.1:9901/payments", step["envelope_sha256"],
        "in arrears", "new_vendor", "0.9", "payments / large-payment", "AMOUNT_OVER_LIMIT",
        "2 more people with the role finance", "finance-1, finance-2", "0 of 2 given",
    ):  # fmt: skip
        assert expected in body, expected
    assert '"format":"threada-envelope/' in body.replace("&quot;", '"')
    assert page.context["is_cut"] is False
    assert "disabled" not in APPROVE.findall(body)[0]
    sent = list(page.context["sends"])
    assert sent[:5] == ["action", "integration", "method", "url", "body"]


def test_changes_since_the_last_version_are_shown(demo: Demo, console: Console) -> None:
    item = demo.hand_in({"vendor": "Hooli", "amount_minor": 2_000_000, "invoice": "H-1"})
    demo.execute(item)
    old = demo.step_of(item)
    changed = {"vendor": "Hooli Ltd", "amount_minor": 2_500_000, "invoice": None}
    assert demo.client.edit(f"/work-items/{item}", {"payload": changed}).status_code == 200
    demo.wait()
    demo.execute(item)
    step = demo.step_of(item)
    browser = console("finance-1")
    changes = page_of(browser, step["decision_step_id"]).context["changes"]
    assert [(change.place, change.before, change.after) for change in changes] == [
        ("Amount", "EUR 20,000.00 (2000000)", "EUR 25,000.00 (2500000)"),
        ("Invoice", "H-1", ""),
        ("Vendor", "Hooli", "Hooli Ltd"),
        ("will be sent.body.amount_minor", "2000000", "2500000"),
        ("will be sent.body.vendor", "Hooli", "Hooli Ltd"),
    ]
    assert [change.is_absent for change in changes] == [False, True, False, False, False]
    assert "Changes since" not in page_of(browser, old["decision_step_id"]).content.decode()
    assert statements(browser, step["decision_step_id"]) <= STATEMENTS


def test_earlier_decisions_by_the_same_rule_are_shown(demo: Demo, console: Console) -> None:
    steps = [ask(demo, {"vendor": f"Vendor {place}", "amount_minor": 2_000_000}) for place in range(8)]
    for step in steps[:6]:
        demo.vote("finance-1", step, "reject", reason_code="DUPLICATE")
    demo.vote("finance-1", steps[6])
    demo.vote("finance-2", steps[6])
    browser = console("finance-1")
    alike = page_of(browser, steps[7]["decision_step_id"]).context["alike"]
    assert [(one.status, dict(preview)["Vendor"]) for one, preview in alike] == [
        ("approved", "Vendor 6"),
        *(("rejected", f"Vendor {place}") for place in (5, 4, 3, 2)),
    ]
    assert "Earlier decisions" in page_of(browser, steps[7]["decision_step_id"]).content.decode()
    assert page_of(browser, steps[0]["decision_step_id"]).context["alike"] == []
    assert statements(browser, steps[7]["decision_step_id"]) <= STATEMENTS


def test_invisible_characters_are_written_out_with_a_warning(demo: Demo, console: Console) -> None:
    payload = {"vendor": "ACME \u202e0001\u202c", "amount_minor": 2_000_000, "invoice": "A\u200b1 \U000e0041"}
    step = ask(demo, payload, evidence={"citations": ["see \u2066this\u2069"]})
    page = page_of(console("finance-1"), step["decision_step_id"])
    body = page.content.decode()
    assert [(found.code, found.turns_text) for found in page.context["unseen"]][:2] == [
        ("U+200B", False),
        ("U+202C", True),
    ]
    assert 'ACME <span class="t-unseen" title="right-to-left override">U+202E</span>0001' in body
    assert not re.search("[\u200b\u202a-\u202e\u2066-\u2069\U000e0000-\U000e0fff]", body)


@pytest.mark.parametrize("payload", [{"vendor": "Hooli", "amount_minor": 2_000_000, "invoice": "x" * 90}, LARGE])
def test_short_values_are_shown_whole(payload: dict[str, Any], demo: Demo, console: Console) -> None:
    step = ask(demo, payload)
    assert page_of(console("finance-1"), step["decision_step_id"]).context["is_cut"] is False


def test_nothing_that_is_cut_can_be_approved(demo: Demo, console: Console) -> None:
    quote = "y" * 3_900 + "THE END"
    step = ask(demo, LARGE, evidence={"citations": [{"quote": quote, "page": place} for place in range(12)]})
    browser = console("finance-1")
    cut = page_of(browser, step["decision_step_id"])
    assert cut.context["is_cut"] is True
    assert all("disabled" in button for button in APPROVE.findall(cut.content.decode()))
    assert cut.content.decode().count("Show everything") >= 2
    assert "more entries)" in cut.content.decode() or "more characters)" in cut.content.decode()
    whole = page_of(browser, step["decision_step_id"], "?whole=1")
    assert whole.context["is_cut"] is False
    assert whole.content.decode().count("THE END") >= 12
    assert "disabled" not in APPROVE.findall(whole.content.decode())[0]


def test_votes_are_paged(demo: Demo, busy_demo: Busy, console: Console) -> None:
    advise(demo, busy_demo.step, 25)
    browser = console("finance-1")
    seen: list[str] = []
    query = ""
    while True:
        page = page_of(browser, busy_demo.step, query).context
        seen += [vote.comment for vote, _ in page["votes"]]
        if not page["older_votes"]:
            break
        query = f"?before={page['older_votes']}"
    assert seen == [f"advice {place}" for place in range(24, -1, -1)]


def test_the_page_costs_the_same_however_many_votes(demo: Demo, busy_demo: Busy, console: Console) -> None:
    browser = console("finance-1")
    advise(demo, busy_demo.step, 10)
    before = statements(browser, busy_demo.step)
    advise(demo, busy_demo.step, 200, kind="service")
    assert (statements(browser, busy_demo.step), before <= STATEMENTS) == (before, True)
