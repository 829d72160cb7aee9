"""Freezes on the pages of the console: where one is in force, and what it blocks or blocked."""

from __future__ import annotations

import pytest
from django.test import Client

from integrations.models import FreezeBlock
from tests.console.sign_in import Console
from tests.console.test_desk import ask
from tests.factories import make_principal
from tests.jobs import run_jobs
from tests.journeys.demo import SMALL, Demo
from threada_site.database.unit_of_work import unit_of_work

BLOCKED = "blocked by freeze"
REASON = "The bank reports fraud."


def freeze(demo: Demo, **scope: str) -> str:
    answer = demo.api("admin").post("/freezes", {"scope": scope, "reason": REASON})
    assert answer.status_code == 201, answer.content
    freeze_id: str = answer.json()["freeze_id"]
    return freeze_id


def blocked_payment(demo: Demo) -> tuple[str, str]:
    """Return the ids of a work item and its execution, which was started during a freeze."""
    item = demo.hand_in(SMALL)
    answer = demo.execute(item)
    run_jobs()
    execution: str = answer.json()["execution_id"]
    return item, execution


def text(browser: Client, url: str) -> str:
    page = browser.get(url)
    assert page.status_code == 200, url
    return page.content.decode()


@pytest.mark.parametrize("scope", [{}, {"workflow": "payment_run"}, {"integration": "int_bank"}])
def test_a_freeze_is_shown_wherever_it_matters(demo: Demo, console: Console, scope: dict[str, str]) -> None:
    step = ask(demo)
    freeze_id = freeze(demo, **scope)
    item, execution = blocked_payment(demo)
    browser = console("admin")
    for url in (
        "/console/",
        "/console/workitems/decisionstep/desk/",
        f"/console/workitems/decisionstep/{step['decision_step_id']}/",
        f"/console/workitems/workitem/{item}/",
        f"/console/integrations/execution/{execution}/",
    ):
        assert f"/console/integrations/freeze/{freeze_id}/" in text(browser, url), url
    for url in (
        "/console/workitems/workitem/",
        "/console/integrations/execution/",
        f"/console/workitems/workitem/{item}/",
        f"/console/integrations/execution/{execution}/",
        f"/console/integrations/freeze/{freeze_id}/",
    ):
        assert BLOCKED in text(browser, url), url
    rows = console("finance-1").get("/console/workitems/decisionstep/desk/").context["groups"][0].rows
    assert [row.is_frozen for row in rows] == [True]


def test_a_freeze_elsewhere_blocks_nothing_here(demo: Demo, console: Console) -> None:
    step = ask(demo)
    freeze(demo, workflow="policy_review")
    item, _ = blocked_payment(demo)
    browser = console("admin")
    for url in (
        "/console/workitems/workitem/",
        "/console/integrations/execution/",
        f"/console/workitems/workitem/{item}/",
        f"/console/workitems/decisionstep/{step['decision_step_id']}/",
    ):
        page = text(browser, url)
        assert (BLOCKED in page, REASON in page) == (False, False), url


def test_what_was_blocked_stays_listed_after_lifting(demo: Demo, console: Console) -> None:
    first, second = freeze(demo, workflow="payment_run"), freeze(demo)
    _, execution = blocked_payment(demo)
    admin = demo.api("admin")
    for freeze_id in (first, second):
        assert admin.post(f"/freezes/{freeze_id}/lift", {}).status_code == 200
        run_jobs()
    browser = console("admin")
    for freeze_id in (first, second):
        page = text(browser, f"/console/integrations/freeze/{freeze_id}/")
        assert (execution in page, BLOCKED in page) == (True, False)
    with unit_of_work(demo.tenant.id):
        assert FreezeBlock.objects.count() == 2
    assert REASON not in text(browser, "/console/")


def test_others_see_no_blocked_execution_of_a_requester(demo: Demo, console: Console) -> None:
    freeze_id = freeze(demo)
    _, execution = blocked_payment(demo)
    make_principal(demo.tenant, "olga", roles=["requester"])
    assert execution not in text(console("olga"), f"/console/integrations/freeze/{freeze_id}/")
    assert execution in text(console("admin"), f"/console/integrations/freeze/{freeze_id}/")
