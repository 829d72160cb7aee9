"""Calls after `require_approval` in the receipts of a case: each had its approvals, or is named."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.receivers.fixtures import Receiver
from tests.workitems.executions.test_escalated_approvals import FORMS, lead, put_form
from tests.workitems.executions.test_missing_approval import APPROVE_ALL, approved, failed, run
from tests.workitems.office import ASKS_TWO, RULES, Office
from tests.workitems.permits.test_permits import ask, finance, in_effect
from tests.workitems.steps.test_escalation import escalate
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.principals import remove_member
from threada_site.kernel import clock, ids
from workitems.completeness.approved_calls import calls_without_approvals
from workitems.completeness.verify import verify_completeness
from workitems.executions.operator_actions import retry_execution

__all__ = ["finance", "lead"]

pytestmark = pytest.mark.django_db


def named(office: Office) -> list[str]:
    with unit_of_work(office.tenant.id):
        return [finding.message for finding in verify_completeness(office.tenant)]


def test_votes_that_a_stricter_policy_took_along(office: Office, bank: Receiver) -> None:
    _, _, execution = approved(office)
    office.put_rules({**RULES[1], "approvals": {**ASKS_TWO, "all": [{"role": "finance", "count": 3}]}}, RULES[3])
    assert run(office, execution) == "awaiting_approval"
    office.vote(office.pending_step(office.item_of(execution)), "fred")
    assert run(office, execution) == "succeeded"
    assert named(office) == []


def test_a_vote_in_place_of_one_that_was_lost(office: Office, bank: Receiver) -> None:
    _, _, execution = approved(office)
    with unit_of_work(office.tenant.id):
        remove_member(office.people["finn"], ctx=office.system)
    assert run(office, execution) == "awaiting_approval"
    office.vote(office.pending_step(office.item_of(execution)), "fred")
    assert run(office, execution) == "succeeded"
    assert named(office) == []


def test_a_retry_that_a_new_policy_wants_approved(office: Office, bank: Receiver) -> None:
    item, execution = failed(office, bank)
    office.put_rules(APPROVE_ALL)
    office.on_execution(execution, retry_execution)
    assert run(office, execution) == "awaiting_approval"
    for name in ("fay", "finn"):
        office.vote(office.pending_step(item), name)
    assert run(office, execution) == "succeeded"
    assert named(office) == []


def test_a_unit_of_a_permit(finance: Office, bank: Receiver) -> None:
    in_effect(finance)
    _, execution, _ = ask(finance)
    assert run(finance, execution) == "succeeded"
    assert named(finance) == []


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_each_form_of_rule(lead: Office, bank: Receiver, form: dict[str, Any]) -> None:
    put_form(lead, form)
    _, step, execution = lead.awaiting()
    escalate(lead, step)
    lead.vote(step, "lea")
    lead.vote(step, "lou")
    assert run(lead, execution) == "succeeded"
    assert named(lead) == []


ENVELOPE = {"envelope_sha256": "e"}
TWO = {"rule": {"stages": [{"role": "finance", "count": 1}, {"any": [{"role": "legal"}, {"user": "pr_fay"}]}]}}


def receipt(kind: str, *, after_s: float = 0.0, **blocks: Any) -> dict[str, Any]:
    at = clock.now() + timedelta(seconds=after_s)
    return {
        "id": ids.public_id(ids.RECEIPT, ids.first_id_at(at)),
        "occurred_at": clock.rfc3339(at),
        "kind": kind,
        "subject": {"execution_id": "ex_payment"},
        "actor": {"kind": "human", "principal": "pr_worker"},
        "inputs": ENVELOPE,
        "policy": {},
        "outcome": {},
        **blocks,
    }


def vote(who: str, *, after_s: float = 2.0, counted: bool = True, decision: str = "approve", **more: Any) -> Any:
    outcome = {"counted": counted, "decision": decision}
    actor = {"kind": "human", "principal": who, **more}
    return receipt("vote.recorded", after_s=after_s, actor=actor, outcome=outcome)


def case(*more: dict[str, Any], decided: str = "require_approval", rechecked: str = "require_approval") -> list[Any]:
    """Return receipts of a payment that was decided, called after ten seconds, and `more`."""
    return [
        receipt("policy.decided", outcome={"effect": decided}),
        receipt("policy.rechecked", after_s=10.0, outcome={"effect": rechecked}),
        receipt("execution.executed", after_s=10.01),
        *more,
    ]


OPENED = receipt("decision_step.opened", after_s=1.0, policy=TWO)


@pytest.mark.parametrize(
    ("contents", "found", "needed"),
    [
        (case(), 0, 1),
        (case(decided="allow"), 0, 1),
        (case(rechecked="allow"), 0, 1),
        (case(OPENED), 0, 2),
        (case(OPENED, vote("pr_fay")), 1, 2),
        (case(OPENED, vote("pr_fay"), vote("pr_fay")), 1, 2),
        (case(OPENED, vote("pr_fay"), vote("pr_finn", decision="reject")), 1, 2),
        (case(OPENED, vote("pr_fay"), vote("pr_finn", counted=False)), 1, 2),
        (case(OPENED, vote("pr_fay"), vote("pr_robo", kind="agent")), 1, 2),
        (case(OPENED, vote("pr_fay"), vote("pr_finn", after_s=20.0)), 1, 2),
        (case(vote("pr_fay"), vote("pr_finn")), 0, 1),
        (case(OPENED, {**vote("pr_fay"), "inputs": {"envelope_sha256": "other"}}, vote("pr_finn")), 1, 2),
    ],
)
def test_a_call_without_its_approvals(contents: list[Any], found: int, needed: int) -> None:
    [sentence] = calls_without_approvals(contents)
    assert sentence.endswith(f"state {found} of at least {needed} approvals before")


@pytest.mark.parametrize(
    "contents",
    [
        case(decided="allow", rechecked="allow"),
        case(OPENED, vote("pr_fay"), vote("pr_finn", after_s=12.0)),
        case(receipt("permit.used", after_s=1.0)),
        case(receipt("policy.decided", after_s=5.0, outcome={"effect": "allow"}), rechecked="allow"),
    ],
)
def test_a_call_that_is_not_named(contents: list[Any]) -> None:
    assert list(calls_without_approvals(contents)) == []
