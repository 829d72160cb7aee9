"""The sweep of deadlines: fair between tenants, and held up by nobody."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.workitems.office import RULES, Office, open_office
from threada_site.kernel import clock
from threada_site.tenancy.models import Tenant
from workitems.models import DecisionStep, WorkItem
from workitems.steps import deadline_sweep as deadlines
from workitems.steps.deadline_sweep import due_steps, sweep_deadlines


def put_deadline(office: Office) -> None:
    office.put_rules({**RULES[1], "approvals": {"role": "finance", "expires_after": "PT1H"}}, *RULES[2:])


def test_tenants_are_scheduled_fairly(office: Office, other_tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "BATCH", 3)
    other = open_office(other_tenant)
    put_deadline(office)
    put_deadline(other)
    mine = [office.awaiting()[1].id for _ in range(4)]
    theirs = [other.awaiting()[1].id for _ in range(2)]
    now = clock.now() + timedelta(hours=2)
    assert [due.step_id for due in due_steps(now=now)] == [mine[0], theirs[0], mine[1]]
    assert sweep_deadlines(now=now)["done"] == 6


def test_what_fails_rests_longer_each_time(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    put_deadline(office)
    _, bad, _ = office.awaiting()
    _, good, _ = office.awaiting()
    operation = deadlines.act_on_deadlines

    def fail(item: WorkItem, step: DecisionStep, **more: Any) -> None:
        if step.id == bad.id:
            raise RuntimeError("no luck")
        operation(item, step, **more)

    monkeypatch.setattr(deadlines, "act_on_deadlines", fail)
    now = clock.now() + timedelta(hours=2)
    assert dict(sweep_deadlines(now=now)) == {"failed": 1, "done": 1}
    assert office.step(good).status == "expired"
    assert office.step(bad).next_due_at == now + timedelta(seconds=10)
    assert not sweep_deadlines(now=now + timedelta(seconds=9))
    assert sweep_deadlines(now=now + timedelta(seconds=10))["failed"] == 1
    assert office.step(bad).next_due_at == now + timedelta(seconds=30)
    monkeypatch.setattr(deadlines, "act_on_deadlines", operation)
    assert sweep_deadlines(now=now + timedelta(seconds=30))["done"] == 1
    assert office.step(bad).status == "expired"


def test_without_anything_due_there_is_no_due_date(office: Office) -> None:
    _, step, _ = office.awaiting()
    assert office.step(step).next_due_at is None
    office.set_step(step, sweep_after=clock.now())
    assert office.step(step).next_due_at is None
