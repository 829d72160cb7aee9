"""Pending approvers: the index answers who a step waits for, with the same result as vote counting."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection
from django.test.utils import CaptureQueriesContext

from policies.language.approvals import Leaf
from tests.workitems.office import RULES, Office
from tests.workitems.steps.test_escalation import escalate_outside
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from workitems import selectors
from workitems.models import DecisionStep, Delegation, PendingApproverKey


def waiting_for(office: Office, name: str, **options: object) -> set[object]:
    with unit_of_work(office.tenant.id):
        ctx = office.ctx(name, **options)
        return set(selectors.steps_pending_for(ctx, selectors.decision_steps(ctx)).values_list("id", flat=True))


def stand_in(office: Office, delegate: str, delegator: str) -> None:
    now = clock.now()
    with unit_of_work(office.tenant.id):
        Delegation.objects.create(
            tenant_id=office.tenant.id,
            delegate=office.people[delegate],
            delegator=office.people[delegator],
            starts_at=now - timedelta(hours=1),
            ends_at=now + timedelta(hours=1),
            consented_at=now,
        )


def keys(office: Office, step: DecisionStep) -> list[str]:
    with unit_of_work(office.tenant.id):
        return sorted(PendingApproverKey.objects.filter(step=step).values_list("key", flat=True))


def test_it_waits_for_who_counts_and_has_not_voted(office: Office) -> None:
    _, step, _ = office.awaiting()
    assert {name for name in office.people if waiting_for(office, name)} == {"fay", "finn", "fred"}
    office.vote(step, "fay")
    assert {name for name in office.people if waiting_for(office, name)} == {"finn", "fred"}
    office.vote(step, "finn")
    assert not any(waiting_for(office, name) for name in office.people)
    assert keys(office, step) == []


def test_it_waits_for_no_agent_and_nobody_with_a_part(office: Office) -> None:
    office.join("bot", kind="agent", roles=("approver", "finance"))
    office.join("rolf", roles=("client", "finance"))
    item = office.decided(500, by="rolf")
    office.execute(item, by="rolf")
    assert {name for name in office.people if waiting_for(office, name)} == {"fay", "finn", "fred"}


def test_it_waits_for_whom_it_is_escalated_to(office: Office) -> None:
    _, step, _ = office.awaiting()
    escalate_outside(office, step, Leaf("user", "vera"))
    assert waiting_for(office, "vera") == {step.id}


def test_it_waits_for_a_delegate_but_not_of_the_requester(office: Office) -> None:
    _, step, _ = office.awaiting()
    stand_in(office, "vera", "fay")
    assert waiting_for(office, "vera") == {step.id}
    stand_in(office, "finn", "rita")
    assert waiting_for(office, "finn") == set()


def test_a_later_stage_waits_its_turn(office: Office) -> None:
    approvals = {"stages": [{"role": "finance"}, {"user": "vera"}]}
    office.put_rules({**RULES[1], "approvals": approvals}, *RULES[2:])
    _, step, _ = office.awaiting()
    assert (keys(office, step), waiting_for(office, "vera")) == (["role:finance"], set())
    office.vote(step, "fay")
    assert (keys(office, step), waiting_for(office, "vera")) == (["role:finance", "user:vera"], {step.id})


def test_a_review_waits_for_whoever_may_decide_on_its_workflow(office: Office) -> None:
    item = office.decided(confidence=0.5)
    step = office.pending_step(item)
    workflow_id = item.workflow_version.workflow_id
    assert keys(office, step) == ["scope:decisions:decide", f"scope:decisions:decide@{workflow_id}"]
    assert {name for name in office.people if waiting_for(office, name)} == {"fay", "finn", "fred", "vera", "ada"}


def test_finding_pending_steps_takes_three_statements(office: Office) -> None:
    for _ in range(3):
        office.awaiting()
    with unit_of_work(office.tenant.id):
        ctx = office.ctx("fay")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert len(selectors.steps_pending_for(ctx, selectors.decision_steps(ctx)).order_by("-id")[:50]) == 3
    assert len(queries) == 3
