"""Dashboard: one part for each role, with bounded statements."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from policies.replay.idle_rules import FEWEST, idle_rules
from tests.console.busy import Busy
from tests.console.sign_in import Console
from tests.console.test_desk import ask
from tests.factories import acting, make_principal
from tests.journeys.demo import SMALL, Demo
from threada_site.console.dashboards.dashboard import dashboard
from threada_site.database.unit_of_work import unit_of_work

STATEMENTS = 14
"""Most statements of the dashboard of one role, without session and sign-in."""
PARTS = {
    "approver": ["approver"], "operator": ["approver", "operator", "auditor"], "policy_author": ["author"],
    "policy_publisher": ["author"], "integration_manager": ["operator"], "auditor": ["auditor"], "viewer": [],
    "tenant_admin": ["approver", "operator", "author", "auditor", "steward"],
}  # fmt: skip


def part(browser: Client, key: str) -> Any:
    return next(part for part in browser.get("/console/").context["parts"] if part.key == key)


def metrics(part: Any) -> dict[str, str]:
    return {metric.label: metric.value for metric in part.metrics}


@pytest.mark.parametrize(("role", "parts"), PARTS.items())
def test_each_role_has_its_part(role: str, parts: list[str], demo: Demo, busy_demo: Busy, console: Console) -> None:
    user = make_principal(demo.tenant, "someone", roles=[role])
    page = console("someone").get("/console/")
    assert [part.key for part in page.context["parts"]] == parts
    with unit_of_work(demo.tenant.id):
        ctx = acting(demo.tenant, user)
        with CaptureQueriesContext(connection) as queries:
            dashboard(ctx)
    most = STATEMENTS if role != "tenant_admin" else 30
    assert len(queries) <= most, "\n".join(query["sql"][:200] for query in queries)
    assert all(re.search(r"\bOFFSET\b", query["sql"]) is None for query in queries)


def test_an_approver_sees_what_waits_and_what_is_overdue(demo: Demo, console: Console) -> None:
    step = ask(demo)
    assert metrics(part(console("finance-1"), "approver")) == {
        "waiting for you": "1", "overdue": "0", "due within a day": "1"
    }  # fmt: skip
    demo.vote("finance-1", step)
    assert metrics(part(console("finance-1"), "approver"))["waiting for you"] == "0"
    assert metrics(part(console("finance-2"), "approver"))["waiting for you"] == "1"


def test_rules_that_decide_nothing_are_named_once_enough_was_decided(demo: Demo, console: Console) -> None:
    demo.put_rules({"id": "never", "when": "item.payload.amount_minor < 0", "effect": "deny", "reason": "NEVER"})
    admin = acting(demo.tenant, make_principal(demo.tenant, "anna", roles=["policy_author"]))

    def named() -> list[str]:
        with unit_of_work(demo.tenant.id):
            return [found.rule for found in idle_rules(admin) if found.version.policy.slug == "payments"]

    for _ in range(FEWEST - 1):
        demo.hand_in(SMALL)
    demo.wait()
    assert named() == []
    demo.hand_in(SMALL)
    demo.wait()
    assert "never" in named()
    assert "never" in console("anna").get("/console/").content.decode()


def test_a_requester_sees_no_numbers_of_others(demo: Demo, busy_demo: Busy, console: Console) -> None:
    olga = make_principal(demo.tenant, "olga", roles=["requester"])
    assert "workitems/portal/home.html" in [one.name for one in console("olga").get("/console/").templates]
    with unit_of_work(demo.tenant.id):
        page = dashboard(acting(demo.tenant, olga))
    assert {metric.value for metric in page["metrics"]} == {"0"}
    assert {count for _label, count, _share in page["ages"]} == {"0"}
    assert [chart.is_empty for chart in page["charts"]] == [True]
