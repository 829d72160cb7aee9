"""Escalated approvals right before the call: regular ones are paid, whatever the form of the rule, others are not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policies.language.approvals import Leaf
from tests.receivers.fixtures import Receiver
from tests.workitems.executions.test_forged_approvals import as_web, assert_nothing_sent, by_owner
from tests.workitems.office import RULES, Office
from tests.workitems.permits.test_approval_receipts import named
from tests.workitems.permits.test_permits import OFFERS, ask, proposal, vote
from tests.workitems.steps.test_escalation import escalate, escalate_outside
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.groups import define_group
from threada_site.identity.principals import remove_member
from threada_site.identity.roles import define_role
from threada_site.kernel.context import Scope
from workitems.executions.run_execution import run_execution
from workitems.models import DecisionStep, Permit

pytestmark = pytest.mark.django_db

FINANCE, LEGAL = {"role": "finance"}, {"role": "legal"}
FORMS: dict[str, Any] = {
    "leaf": {"role": "finance", "count": 2},
    "all of one leaf": {"all": [{"role": "finance", "count": 2}]},
    "all of a leaf twice": {"all": [FINANCE, FINANCE]},
    "all": {"all": [LEGAL, FINANCE]},
    "all of all": {"all": [LEGAL, {"all": [FINANCE]}]},
    "any": {"any": [{"role": "legal", "count": 2}, {"role": "finance", "count": 2}]},
    "any of one": {"any": [{"role": "finance", "count": 2}]},
    "any of any": {"any": [{"any": [{"role": "legal", "count": 2}]}, {"role": "finance", "count": 2}]},
    "all of any": {"all": [{"any": [LEGAL, FINANCE]}, FINANCE]},
    "user and role": {"all": [{"user": "fay"}, FINANCE]},
    "scope": {"scope": "decisions:decide", "count": 2},
    "group": {"all": [{"group": "board"}, FINANCE]},
    "stages": {"stages": [LEGAL, {"all": [FINANCE]}]},
    "one stage": {"stages": [{"all": [{"role": "finance", "count": 2}]}]},
    "together": {"together": [{"all": [LEGAL]}, {"stages": [FINANCE, LEGAL]}]},
    "together of one": {"together": [{"all": [{"role": "finance", "count": 2}]}]},
}


@pytest.fixture
def lead(office: Office) -> Office:
    """Return an office with two leads, to whom rules escalate."""
    with unit_of_work(office.tenant.id):
        for role in ("lead", "legal"):
            define_role(role, frozenset({Scope.WORKITEMS_READ, Scope.DECISIONS_DECIDE}), ctx=office.system)
        define_group("board", ["fay"], ctx=office.system)
    office.join("lea", roles=("lead",))
    office.join("lou", roles=("lead",))
    return office


def put_form(office: Office, form: dict[str, Any], **more: Any) -> None:
    asks = {"escalate_to": [{"role": "lead"}], "exclude": ["requester"], **form, **more}
    office.put_rules({**RULES[1], "approvals": asks}, *RULES[2:])


def pay(office: Office, step: DecisionStep, *voters: str) -> None:
    for name in voters:
        office.vote(step, name)
    assert office.step(step).status == "approved"


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_each_form_of_rule_is_paid_after_an_escalation(lead: Office, bank: Receiver, form: dict[str, Any]) -> None:
    put_form(lead, form)
    _, step, execution = lead.awaiting()
    escalate(lead, step)
    pay(lead, step, "lea", "lou")
    run_execution(lead.tenant, execution.id)
    assert (lead.execution(execution).status, len(bank.requests())) == ("succeeded", 1)


def test_a_rule_merged_of_two_is_paid_after_an_escalation(lead: Office, bank: Receiver) -> None:
    put_form(lead, {"all": [FINANCE]})
    more = {"stages": [{"all": [FINANCE]}, LEGAL], "exclude": ["requester"]}
    lead.put_rules({**RULES[1], "id": "more", "approvals": more}, policy="more")
    _, step, execution = lead.awaiting()
    assert "together" in step.rule
    escalate(lead, step)
    pay(lead, step, "lea", "lou")
    run_execution(lead.tenant, execution.id)
    assert (lead.execution(execution).status, len(bank.requests())) == ("succeeded", 1)


def test_another_rule_in_force_takes_no_escalation_along(lead: Office, bank: Receiver) -> None:
    put_form(lead, {"all": [{"role": "finance", "count": 2}]})
    _, step, execution = lead.awaiting()
    escalate(lead, step)
    pay(lead, step, "lea", "lou")
    put_form(lead, {"all": [LEGAL, FINANCE]})
    run_execution(lead.tenant, execution.id)
    assert (lead.execution(execution).status, bank.requests()) == ("awaiting_approval", [])


@pytest.mark.parametrize("leaves", [1, 2])
def test_an_escalation_to_people_is_paid(lead: Office, bank: Receiver, leaves: int) -> None:
    """The second person leaves before the call; the target that was never a member joins after the escalation."""
    people = [{"user": name} for name in ("lea", "lou", "zoe")[:leaves]]
    put_form(lead, FORMS["all of one leaf"], escalate_to=people)
    _, step, execution = lead.awaiting()
    escalate(lead, step)
    if leaves > 1:
        escalate_outside(lead, step, Leaf("user", "vera"))
        with unit_of_work(lead.tenant.id):
            remove_member(lead.people["lou"], ctx=lead.system)
        lead.join("zoe", roles=("lead",))
    pay(lead, step, "lea", "fay")
    run_execution(lead.tenant, execution.id)
    assert (lead.execution(execution).status, len(bank.requests())) == ("succeeded", 1)


def escalate_by_sql(office: Office, step: DecisionStep, *leaves: dict[str, str]) -> None:
    with unit_of_work(office.tenant.id):
        as_web(
            "UPDATE workitems_decisionstep SET escalated_to = %s::jsonb WHERE id = %s",
            [json.dumps(leaves), step.id],
        )


@pytest.mark.parametrize("leaf", [{"role": "approver"}, {"user": "vera"}, {"scope": "decisions:decide"}])
def test_an_escalation_that_sql_wrote(lead: Office, bank: Receiver, leaf: dict[str, str]) -> None:
    _, step, execution = lead.awaiting()
    escalate_by_sql(lead, step, leaf)
    pay(lead, step, "vera", "fay")
    assert_nothing_sent(lead, execution, bank)


@pytest.mark.parametrize("leaves", [[], [{"role": "approver"}], [{"role": "lead"}, {"user": "vera"}]])
def test_a_changed_escalation(lead: Office, bank: Receiver, leaves: list[dict[str, str]]) -> None:
    put_form(lead, FORMS["all of one leaf"])
    _, step, execution = lead.awaiting()
    escalate(lead, step)
    pay(lead, step, "lea", "lou")
    escalate_by_sql(lead, step, *leaves)
    assert_nothing_sent(lead, execution, bank)


def test_an_escalation_of_an_earlier_step(lead: Office, bank: Receiver) -> None:
    """The receipt of the escalation of another step of the same case says nothing about this one."""
    put_form(lead, FORMS["all of one leaf"])
    item, step, execution = lead.awaiting()
    escalate(lead, step)
    pay(lead, step, "lea", "lou")
    with unit_of_work(lead.tenant.id):
        remove_member(lead.people["lou"], ctx=lead.system)
    run_execution(lead.tenant, execution.id)
    again = lead.pending_step(item)
    escalate_by_sql(lead, again, {"role": "lead"})
    pay(lead, again, "fay")
    assert_nothing_sent(lead, execution, bank)


def with_permit(office: Office) -> Permit:
    """Return a permit that leads put in effect on a step that is escalated to them."""
    put_form(office, FORMS["all of one leaf"], permit=OFFERS["permit"])
    _, step, _ = office.awaiting()
    escalate(office, step)
    terms = proposal(office)
    vote(office, step, "lea", terms)
    return vote(office, step, "lou", terms)


def test_a_permit_of_an_escalated_step_covers(lead: Office, bank: Receiver) -> None:
    permit = with_permit(lead)
    _, execution, covered = ask(lead)
    assert covered
    run_execution(lead.tenant, execution.id)
    assert lead.execution(execution).status == "succeeded"
    assert named(lead, permit.id) == []


def test_a_permit_with_an_escalation_that_sql_wrote(lead: Office, bank: Receiver) -> None:
    permit = with_permit(lead)
    by_owner('UPDATE workitems_permit SET escalated_to = \'[{"role": "approver"}, {"role": "lead"}]\'')
    assert not ask(lead)[2]
    assert named(lead, permit.id) == [f"{permit.public_id}: Its escalations are not those of its step."]
