"""Page views of decision steps, recorded once by the pages that show them, and decision statistics."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.urls import reverse

from policies.models import Workflow
from tests.console.sign_in import Console
from tests.console.test_desk import BATCH, DESK, ask, choices
from tests.factories import acting, make_principal
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ObjectGrants, Scope
from threada_site.tenancy.models import Tenant, User
from workitems.desk.decision_statistics import decision_statistics
from workitems.models import DecisionStep, StepView, Vote
from workitems.retention.case_tables import case_tables

PAGE = "/console/workitems/decisionstep/attention/"


def address(step: dict[str, Any], action: str = "change") -> str:
    return reverse(f"admin:workitems_decisionstep_{action}", args=[step["decision_step_id"]])


def page_views(demo: Demo) -> list[tuple[str, str]]:
    with unit_of_work(demo.tenant.id):
        rows = StepView.objects.order_by("step_id", "viewer__username").values_list("step_id", "viewer__username")
        return [(ids.public_id(ids.DECISION_STEP, step), viewer) for step, viewer in rows]


def shown_before_the_vote(demo: Demo, step: dict[str, Any], seconds: int) -> None:
    """Set a person's first page view to `seconds` before their vote."""
    step_id = ids.parse_public_id(ids.DECISION_STEP, step["decision_step_id"])
    with unit_of_work(demo.tenant.id):
        vote = Vote.objects.get(step=step_id, voter__username="finance-1")
        StepView.objects.update_or_create(
            tenant_id=demo.tenant.id,
            step=DecisionStep.objects.get(id=step_id),
            viewer=vote.voter,
            defaults={"first_viewed_at": vote.created_at - timedelta(seconds=seconds)},
        )


def test_the_first_opening_is_noted_and_decides_nothing(demo: Demo, console: Console) -> None:
    step = ask(demo)
    browser, named = console("finance-1"), step["decision_step_id"]
    browser.head(address(step))
    browser.get(address(step), headers={"Sec-Purpose": "prefetch"})
    browser.get(DESK)
    console("security-1").get(address(step))  # may read the step but is not an approver
    assert page_views(demo) == []
    before = clock.now()
    browser.get(address(step))
    after = clock.now()
    browser.get(address(step), {"whole": "1"})
    assert page_views(demo) == [(named, "finance-1")]
    with unit_of_work(demo.tenant.id):
        assert before <= StepView.objects.get().first_viewed_at <= after
    assert demo.step_of_id(named)["votes"] == []
    console("finance-2").get(address(step))
    assert page_views(demo) == [(named, "finance-1"), (named, "finance-2")]


def test_opening_a_batch_page_counts_each_step(demo: Demo, console: Console) -> None:
    steps = [ask(demo), ask(demo)]
    browser = console("finance-1")
    for _ in range(2):
        assert browser.get(f"{BATCH}?{urlencode([('step', one) for one in choices(*steps)])}").status_code == 200
    assert page_views(demo) == [(step["decision_step_id"], "finance-1") for step in steps]


def test_statistics_are_shown_per_approver(demo: Demo, console: Console) -> None:
    steps = [ask(demo, amount=2_000_000 + place) for place in range(7)]
    for place, step in enumerate(steps):
        if place < 5:
            demo.vote("finance-1", step)
            shown_before_the_vote(demo, step, (2, 4, 6, 80, 900)[place])
        else:
            demo.vote("finance-1", step, "reject", reason_code="DUPLICATE")
    shown_before_the_vote(demo, steps[5], -3)  # opened the page after the vote
    demo.vote("finance-2", steps[0])
    demo.join("scout", kind="agent", roles=("approver", "finance"))
    demo.vote("scout", steps[1])
    page = console("admin").get(PAGE)
    assert page.context["approvers"] == [
        {"approver": "finance-1", "decisions": 7, "rate": "71%", "seconds": "6", "not_opened": 2},
        {"approver": "finance-2", "decisions": 1, "rate": "too few", "seconds": "too few", "not_opened": 1},
    ]
    body = page.content.decode()
    assert "Limits of these statistics" in body
    assert "Reading is not measured" in body
    browser = console("admin")
    assert browser.get(PAGE, {"workflow_id": "policy_review"}).context["approvers"] == []
    assert len(browser.get(PAGE, {"workflow_id": "payment_run", "days": "7"}).context["approvers"]) == 2
    odd = browser.get(PAGE, {"workflow_id": "nonsense", "days": "x"}).context
    assert (odd["days"], len(odd["approvers"])) == ("31", 2)


def test_statistics_start_at_the_chosen_time(demo: Demo) -> None:
    demo.vote("finance-1", ask(demo))
    ctx = acting(demo.tenant, User.objects.get(username="admin"))
    with unit_of_work(demo.tenant.id):
        assert len(decision_statistics(ctx, since=clock.now() - timedelta(days=7))) == 1
        assert decision_statistics(ctx, since=clock.now() + timedelta(seconds=1)) == []


def test_who_may_see_one_workflow_sees_its_decisions_alone(demo: Demo) -> None:
    demo.vote("finance-1", ask(demo))
    nobody = replace(acting(demo.tenant, User.objects.get(username="admin")), scopes=frozenset())
    with unit_of_work(demo.tenant.id):
        for slug, found in (("payment_run", 1), ("policy_review", 0)):
            workflow = Workflow.objects.get(slug=slug)
            ctx = replace(nobody, grants=ObjectGrants(workflows={workflow.id: frozenset({Scope.TELEMETRY_READ})}))
            assert len(decision_statistics(ctx, since=clock.now() - timedelta(days=7))) == found
        assert decision_statistics(nobody, since=clock.now() - timedelta(days=7)) == []


@pytest.mark.parametrize(
    ("role", "sees"), [("viewer", False), ("requester", False), ("approver", False), ("auditor", True)]
)
def test_statistics_need_the_scope(role: str, sees: bool, demo: Demo, console: Console) -> None:
    make_principal(demo.tenant, "pat", roles=[role])
    browser = console("pat")
    assert browser.get(PAGE).status_code == (200 if sees else 403)
    assert ("Decision statistics" in browser.get("/console/").content.decode()) is sees


def test_other_tenants_are_not_counted(demo: Demo, console: Console, other_tenant: Tenant) -> None:
    demo.vote("finance-1", ask(demo))
    make_principal(other_tenant, "stranger", roles=["tenant_admin"])
    assert console("stranger").get(PAGE).context["approvers"] == []


def test_openings_are_deleted_with_the_case() -> None:
    assert dict(case_tables())[StepView] == "step__work_item_id"
