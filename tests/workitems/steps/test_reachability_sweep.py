"""Reachability: `nobody_can_decide` is set when approvers leave, not only when a step opens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scraping import scrape
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.role_grants import grant_role, withdraw_role
from threada_site.identity.groups import define_group
from threada_site.tenancy.models import User
from workitems.models import WorkItem
from workitems.steps import reachability_sweep
from workitems.steps.reachability_sweep import sweep_reachability


def leave(office: Office, name: str) -> None:
    with unit_of_work(office.tenant.id):
        withdraw_role(office.people[name], "finance", ctx=office.system)


def return_to(office: Office, name: str) -> None:
    with unit_of_work(office.tenant.id):
        grant_role(office.people[name], "finance", ctx=office.system)


def stuck() -> float:
    lines = scrape().splitlines()
    return float(next(line for line in lines if line.startswith("threada_work_items_nobody_can_decide")).split()[1])


def test_a_departed_approver_shows_up(office: Office) -> None:
    item, step, _ = office.awaiting()
    assert sweep_reachability() == 1
    assert sweep_reachability() == 0
    leave(office, "fay")
    assert sweep_reachability() == 0
    assert stuck() == 0
    leave(office, "finn")
    assert sweep_reachability() == 1
    assert office.item(item).nobody_can_decide
    assert office.api("rita").get(f"/work-items/{item.public_id}").json()["nobody_can_decide"] is True
    assert stuck() == 1
    return_to(office, "finn")
    sweep_reachability()
    assert not office.item(item).nobody_can_decide
    leave(office, "finn")
    sweep_reachability()
    office.vote(step, "fred", "reject")
    assert not office.item(item).nobody_can_decide
    assert stuck() == 0


def test_an_account_that_is_switched_off_shows_up(office: Office) -> None:
    item, _, _ = office.awaiting()
    sweep_reachability()
    User.objects.filter(username__in=["fay", "finn"]).update(is_active=False)
    sweep_reachability()
    assert office.item(item).nobody_can_decide


def test_an_empty_group_shows_up(office: Office) -> None:
    from tests.workitems.office import RULES

    office.put_rules({**RULES[1], "approvals": {"group": "board"}}, *RULES[2:])
    item, _, _ = office.awaiting()
    sweep_reachability()
    assert office.item(item).nobody_can_decide
    with unit_of_work(office.tenant.id):
        define_group("board", ["vera"], ctx=office.system)
    sweep_reachability()
    assert not office.item(item).nobody_can_decide


def test_a_failing_step_does_not_stop_the_others(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    first, step, _ = office.awaiting()
    second, _, _ = office.awaiting()
    leave(office, "fay")
    leave(office, "finn")
    check = reachability_sweep.check_reachability

    def fail_once(item: WorkItem, *rest: Any, **named: Any) -> bool:
        if item.id == first.id:
            raise RuntimeError("no luck")
        return check(item, *rest, **named)

    monkeypatch.setattr(reachability_sweep, "check_reachability", fail_once)
    assert sweep_reachability() == 1
    assert office.item(second).nobody_can_decide
    assert not office.step(step).reachability_check_due
