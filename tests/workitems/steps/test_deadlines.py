from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from integrations.freezes.scope import FreezeScope
from tests.jobs import run_jobs
from tests.workitems.office import ASKS_TWO, RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from workitems.executions.freezes import set_freeze
from workitems.items.locks import locked_step
from workitems.models import DecisionStep
from workitems.steps.deadline_sweep import sweep_deadlines
from workitems.steps.deadlines import act_on_deadlines, expire_step


def put_deadline(office: Office, **rule: Any) -> None:
    approvals = {**ASKS_TWO, "expires_after": "PT1H", **rule}
    office.put_rules({**RULES[1], "approvals": approvals}, *RULES[2:])


def expire(office: Office, step: DecisionStep, now: datetime) -> None:
    with unit_of_work(office.tenant.id):
        item, locked = locked_step(step.id, ctx=office.system)
        expire_step(item, locked, now=now, ctx=office.system)


def test_a_step_expires_at_its_deadline_and_not_before(office: Office) -> None:
    put_deadline(office)
    item, step, execution = office.awaiting()
    assert step.expires_at is not None
    assert step.expires_at - step.opened_at == timedelta(hours=1)
    expire(office, step, step.expires_at - timedelta(microseconds=1))
    assert office.step(step).status == "pending"
    expire(office, step, step.expires_at)
    assert (office.step(step).status, office.item(item).status) == ("expired", "expired")
    assert office.execution(execution).status == "expired"
    assert office.kinds(item)[-2:] == ["decision_step.expired", "execution.expired"]


def test_a_step_without_a_deadline_stays_open(office: Office) -> None:
    _, step, _ = office.awaiting()
    assert step.expires_at is None
    expire(office, step, clock.now() + timedelta(days=3650))
    assert office.step(step).status == "pending"


def test_what_was_decided_does_not_expire(office: Office) -> None:
    put_deadline(office)
    item, step, _ = office.awaiting()
    office.vote(step, "fay", "reject")
    told = office.kinds(item)
    expire(office, step, clock.now() + timedelta(hours=2))
    assert (office.step(step).status, office.kinds(item)) == ("rejected", told)


def overdue_in_every_way(office: Office) -> DecisionStep:
    """Return a step whose reminder, escalation and expiry are all due."""
    put_deadline(office, remind_after="PT10M", escalate_after="PT20M", escalate_to=[{"role": "approver"}])
    _, step, _ = office.awaiting()
    return step


def overdue(step: DecisionStep) -> dict[str, datetime]:
    return dict.fromkeys(("remind_at", "escalate_at", "expires_at"), step.opened_at + timedelta(seconds=1))


def after_deadlines(office: Office, step: DecisionStep) -> tuple[str, list[str]]:
    """Act on the deadlines of the step, as the sweep does once it holds the lock. Return its status and receipts."""
    with unit_of_work(office.tenant.id):
        item, locked = locked_step(step.id, ctx=office.system)
        act_on_deadlines(item, locked, now=clock.now() + timedelta(hours=2), ctx=office.system)
        kinds = office.kinds(item)
    return office.step(step).status, kinds


def test_deadlines_of_a_step_decided_before_the_lock_do_nothing(office: Office) -> None:
    step = overdue_in_every_way(office)
    office.vote(step, "fay", "reject")
    # The sweep read the step before the vote. Its expiry is checked again by `expire_step`, the others only here.
    office.set_step(step, **(overdue(step) | {"expires_at": clock.now() + timedelta(days=1)}))
    with unit_of_work(office.tenant.id):
        told = office.kinds(step.work_item)
    assert after_deadlines(office, step) == ("rejected", told)


def test_deadlines_of_a_step_frozen_before_the_lock_do_nothing(office: Office) -> None:
    step = overdue_in_every_way(office)
    office.set_step(step, **overdue(step))
    with unit_of_work(office.tenant.id):
        set_freeze(FreezeScope(), reason="Stop", ctx=office.ctx("ada"))
        told = office.kinds(step.work_item)
    assert after_deadlines(office, step) == ("pending", told)


def test_a_step_escalates_once_at_its_deadline(office: Office) -> None:
    put_deadline(office, on_expiry="escalate", escalate_after="PT30M", escalate_to=[{"role": "approver"}])
    item, step, _ = office.awaiting()
    first = clock.now() + timedelta(hours=2)
    expire(office, step, first)
    again = office.step(step)
    assert (again.status, again.escalated_at, again.expires_at) == ("pending", first, first + timedelta(hours=1))
    assert office.kinds(item)[-1] == "decision_step.escalated"
    expire(office, step, first)
    assert office.step(step).status == "pending"
    expire(office, step, first + timedelta(hours=1))
    assert (office.step(step).status, office.item(item).status) == ("expired", "expired")


def test_the_item_may_be_ready_again(office: Office) -> None:
    put_deadline(office)
    office.upsert_workflow(on_reject="ready")
    item, step, execution = office.awaiting()
    expire(office, step, clock.now() + timedelta(hours=2))
    assert (office.item(item).status, office.execution(execution).status) == ("ready", "expired")


def test_a_review_may_expire(office: Office) -> None:
    rule = {
        "id": "look",
        "when": "true",
        "effect": "review",
        "reason": "LOOK",
        "approvals": {"role": "finance", "expires_after": "PT1H"},
    }
    office.put_rules(rule)
    item = office.decided()
    expire(office, office.pending_step(item), clock.now() + timedelta(hours=2))
    assert office.item(item).status == "expired"


@pytest.mark.parametrize("overdue", [True, False])
def test_the_sweep_expires_what_is_overdue(office: Office, overdue: bool) -> None:
    put_deadline(office)
    _, step, _ = office.awaiting()
    run_jobs()
    office.set_step(step, expires_at=clock.now() + timedelta(seconds=-1 if overdue else 60))
    assert dict(sweep_deadlines(now=clock.now())) == ({"done": 1} if overdue else {})
    assert not sweep_deadlines(now=clock.now())
    assert office.step(step).status == ("expired" if overdue else "pending")
