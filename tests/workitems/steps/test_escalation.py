"""Escalation: more people may decide; nobody loses the right to, and no place is filled twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from policies.language.approvals import Leaf
from tests.threada_site.identity.change_sets.offices import publish
from tests.workitems.office import ASKS_TWO, RULES, Office
from tests.workitems.steps.test_delegations import let_stand_in
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.role_grants import grant_role
from threada_site.identity.roles import define_role
from threada_site.kernel import clock, errors
from threada_site.kernel.context import Scope
from threada_site.tenancy.change_sets import ProposedChange
from workitems.explain.history import StepEvent, history_of
from workitems.items.locks import locked_step
from workitems.models import DecisionStep, Notice
from workitems.steps.deadline_sweep import sweep_deadlines
from workitems.steps.escalation import escalate_step


@pytest.fixture
def lea(office: Office) -> Office:
    """Add a finance lead to the office, to whom rules escalate."""
    with unit_of_work(office.tenant.id):
        define_role("lead", frozenset({Scope.WORKITEMS_READ, Scope.DECISIONS_DECIDE}), ctx=office.system)
    office.join("lea", roles=("lead",))
    put_rule(office, escalate_after="PT1H", escalate_to=[{"role": "lead"}])
    return office


def put_rule(office: Office, **rule: Any) -> None:
    office.put_rules({**RULES[1], "approvals": {**ASKS_TWO, **rule}}, *RULES[2:])


def escalate(office: Office, step: DecisionStep, by: str = "fay", **more: Any) -> None:
    with unit_of_work(office.tenant.id):
        item, locked = locked_step(step.id, ctx=office.system)
        escalate_step(item, locked, ctx=office.ctx(by), **more)


def propose(office: Office, step: DecisionStep, to: Leaf, *, by: str = "ada") -> Any:
    """Return the answer to a request to escalate a step outside the rule."""
    return office.api(by).post(f"/decision-steps/{step.public_id}/escalate", {"to": {to.kind: to.name}})


def escalate_outside(office: Office, step: DecisionStep, to: Leaf) -> None:
    """Escalate a step outside the rule: ada proposes it and bea publishes it."""
    if "bea" not in office.people:
        office.join("bea", roles=("tenant_admin",))
    answer = publish(office.api("bea"), propose(office, step, to))
    assert answer.status_code == 200, answer.content


def refused(answer: Any, status: int, reason_code: str) -> None:
    assert (answer.status_code, answer.json()["reason_code"]) == (status, reason_code)


def notices(office: Office, step: DecisionStep) -> list[tuple[str, list[str] | None]]:
    names = {user.id: name for name, user in office.people.items()}
    with unit_of_work(office.tenant.id):
        rows = Notice.objects.filter(step=step).order_by("id")
        return [
            (row.kind, None if row.recipient_ids is None else [names[person] for person in row.recipient_ids])
            for row in rows
        ]


def test_whom_it_is_escalated_to_joins_when_time_is_up(lea: Office) -> None:
    item, step, _ = lea.awaiting()
    assert step.escalate_at == step.opened_at + timedelta(hours=1)
    with pytest.raises(errors.VoterNotEligible):
        lea.vote(step, "lea")
    sweep_deadlines(now=step.opened_at + timedelta(minutes=59))
    assert lea.step(step).escalated_at is None
    now = step.opened_at + timedelta(hours=1)
    assert dict(sweep_deadlines(now=now)) == {"done": 1}
    assert not sweep_deadlines(now=now)
    again = lea.step(step)
    assert (again.escalated_at, again.escalate_at, again.escalated_to) == (now, None, [{"role": "lead"}])
    assert lea.kinds(item)[-1] == "decision_step.escalated"
    assert notices(lea, step) == [("assigned", None), ("escalated", ["lea"])]
    lea.vote(step, "fay")
    lea.vote(step, "lea")
    assert lea.step(step).status == "approved"


def test_the_first_two_of_whoever_may_decide(lea: Office) -> None:
    lea.join("lou", roles=("lead",))
    _, step, _ = lea.awaiting()
    escalate(lea, step)
    lea.vote(step, "lea")
    assert lea.step(step).status == "pending"
    lea.vote(step, "lou")
    assert lea.step(step).status == "approved"


def test_whom_it_is_escalated_to_may_veto(lea: Office) -> None:
    item, step, _ = lea.awaiting()
    escalate(lea, step)
    lea.vote(step, "lea", "reject")
    assert (lea.step(step).status, lea.item(item).status) == ("rejected", "rejected")


def test_who_has_a_part_in_the_case_stays_excluded(lea: Office) -> None:
    lea.join("rolf", roles=("client", "lead"))
    item = lea.decided(500, by="rolf")
    step = lea.execute(item, by="rolf").step
    assert step is not None
    escalate(lea, step)
    with pytest.raises(errors.VoterExcluded):
        lea.vote(step, "rolf")
    assert notices(lea, step)[-1] == ("escalated", ["lea"])


def test_by_hand_it_leaves_a_receipt_with_its_reason_committed(lea: Office) -> None:
    _, step, _ = lea.awaiting()
    escalate(lea, step, by="vera", reason="The offer ends at noon.")
    body = lea.bodies("decision_step.escalated")[-1]
    assert body["inputs"]["escalated_to"] == [{"role": "lead"}]
    assert body["inputs"]["by_hand"] is True
    assert "noon" not in str(body)
    with pytest.raises(errors.AlreadyEscalated):
        escalate(lea, step)
    assert len(lea.bodies("decision_step.escalated")) == 1


def test_to_anybody_else_only_who_manages_the_workflow_and_a_second_person(lea: Office) -> None:
    lea.join("bea", roles=("tenant_admin",))
    _, step, _ = lea.awaiting()
    with pytest.raises(errors.PermissionDenied):
        escalate(lea, step, to=Leaf("user", "vera"))
    with pytest.raises(errors.ConfirmationRequired):
        escalate(lea, step, by="ada", to=Leaf("user", "vera"))
    assert lea.step(step).escalated_to == []
    with pytest.raises(errors.VoterNotEligible):
        lea.vote(step, "vera")
    proposed = propose(lea, step, Leaf("user", "vera"))
    assert lea.step(step).escalated_to == []
    lea.join("puppet", roles=("tenant_admin",))
    lea.depend("puppet", on="ada")
    for by in ("ada", "puppet"):
        refused(publish(lea.api(by), proposed), 403, "second_person_required")
    assert publish(lea.api("bea"), proposed).json()["status"] == "published"
    lea.vote(step, "vera")
    lea.vote(step, "fay")
    assert lea.step(step).status == "approved"
    body = lea.bodies("decision_step.escalated")[-1]
    assert body["actor"]["principal"] == lea.people["bea"].public_id
    assert body["inputs"]["proposed_by"] == lea.people["ada"].public_id
    assert [event.sentence for event in lea_history(lea, step)] == [
        "ada escalated the approval to vera, confirmed by bea"
    ]


def lea_history(office: Office, step: DecisionStep) -> list[StepEvent]:
    with unit_of_work(office.tenant.id):
        return history_of(office.step(step))


def test_the_proposed_escalation_shows_who_may_decide_and_no_reason(lea: Office) -> None:
    _, step, _ = lea.awaiting()
    with pytest.raises(errors.ConfirmationRequired) as raised:
        escalate(lea, step, by="ada", to=Leaf("role", "approver"), reason="The offer ends at noon.")
    change: ProposedChange = raised.value.change
    assert (change.rule, change.operation) == ("policy_four_eyes", "decision_step.escalate")
    assert change.after["may_decide_too"] == ["fay", "finn", "fred", "vera"]
    assert change.before["escalated_to"] == []
    assert "noon" not in str(change)


@pytest.mark.parametrize(
    "to", [Leaf("user", "ada"), Leaf("user", "puppet"), Leaf("role", "board"), Leaf("user", "vera")]
)
def test_nobody_escalates_to_themselves_or_to_people_who_depend_on_them(lea: Office, to: Leaf) -> None:
    """The actor is named, controls the named account, is a member of the named role, or stands in for the target."""
    with unit_of_work(lea.tenant.id):
        define_role("board", frozenset({Scope.DECISIONS_DECIDE}), ctx=lea.system)
        grant_role(lea.people["ada"], "board", ctx=lea.system)
    lea.join("puppet", roles=("approver",))
    lea.depend("puppet", on="ada")
    let_stand_in(lea, "ada", "vera")
    _, step, _ = lea.awaiting()
    with pytest.raises(errors.SecondPersonRequired):
        escalate(lea, step, by="ada", to=to)
    assert lea.step(step).escalated_to == []


def test_neither_the_publisher_nor_the_proposer_is_a_target_at_the_publication(lea: Office) -> None:
    lea.join("bea", roles=("tenant_admin",))
    _, step, _ = lea.awaiting()
    proposed = propose(lea, step, Leaf("user", "bea"))
    refused(publish(lea.api("bea"), proposed), 403, "second_person_required")
    proposed = propose(lea, step, Leaf("user", "vera"))
    lea.depend("vera", on="ada")
    refused(publish(lea.api("bea"), proposed), 403, "second_person_required")
    assert lea.step(step).escalated_to == []


def test_it_is_stale_when_more_people_would_be_let_in(lea: Office) -> None:
    lea.join("bea", roles=("tenant_admin",))
    _, step, _ = lea.awaiting()
    proposed = propose(lea, step, Leaf("role", "approver"))
    lea.join("late", roles=("approver",))
    refused(publish(lea.api("bea"), proposed), 409, "change_set_stale")
    assert lea.step(step).escalated_to == []


@pytest.mark.parametrize("kind", ["service", "agent"])
def test_machines_escalate_to_nobody_outside_the_rule(lea: Office, kind: str) -> None:
    lea.join("robo", kind=kind, roles=("tenant_admin",))
    _, step, _ = lea.awaiting()
    with pytest.raises(errors.PersonRequired):
        escalate(lea, step, by="robo", to=Leaf("user", "vera"))
    path = f"/decision-steps/{step.public_id}/escalate"
    refused(lea.api("robo").post(path, {"to": {"user": "vera"}}), 403, "person_required")


def test_the_history_names_actor_and_targets(lea: Office) -> None:
    item, step, _ = lea.awaiting()
    escalate(lea, step, by="fay")
    assert [event.sentence for event in lea_history(lea, step)] == ["fay escalated the approval to the role lead"]
    told = lea.api("wim").get(f"/work-items/{item.public_id}/explain").json()
    assert "fay escalated the approval to the role lead." in told["why"]


def test_the_history_names_an_escalation_after_a_deadline(lea: Office) -> None:
    _, step, _ = lea.awaiting()
    sweep_deadlines(now=step.opened_at + timedelta(hours=1))
    assert [event.sentence for event in lea_history(lea, step)] == [
        "The approval was escalated to the role lead after a deadline"
    ]


def test_a_rule_without_a_target_wants_one_named(office: Office) -> None:
    _, step, _ = office.awaiting()
    with pytest.raises(errors.NobodyToEscalateTo, match="names nobody"):
        escalate(office, step)
    with pytest.raises(errors.NobodyToEscalateTo, match="Nobody of the role board"):
        escalate(office, step, by="ada", to=Leaf("role", "board"))
    assert office.step(step).escalated_to == []


def test_expiry_may_escalate_and_give_the_same_time_again(lea: Office) -> None:
    put_rule(lea, expires_after="PT2H", on_expiry="escalate", escalate_to=[{"role": "lead"}])
    item, step, _ = lea.awaiting()
    first = step.opened_at + timedelta(hours=2)
    sweep_deadlines(now=first)
    again = lea.step(step)
    assert (again.status, again.extended_at, again.expires_at) == ("pending", first, first + timedelta(hours=2))
    lea.vote(step, "lea")
    sweep_deadlines(now=first + timedelta(hours=2))
    assert (lea.step(step).status, lea.item(item).status) == ("expired", "expired")
    assert notices(lea, step)[-1] == ("decided", None)


def test_one_escalated_before_its_time_is_still_given_the_same_time_again(lea: Office) -> None:
    put_rule(lea, escalate_after="PT1H", expires_after="PT2H", on_expiry="escalate", escalate_to=[{"role": "lead"}])
    item, step, _ = lea.awaiting()
    sweep_deadlines(now=step.opened_at + timedelta(hours=1))
    sweep_deadlines(now=step.opened_at + timedelta(hours=2))
    assert lea.step(step).status == "pending"
    assert lea.kinds(item)[-2:] == ["decision_step.escalated", "decision_step.extended"]
    sweep_deadlines(now=step.opened_at + timedelta(hours=4))
    assert lea.step(step).status == "expired"


def test_approvers_are_reminded_once(office: Office) -> None:
    put_rule(office, remind_after="PT30M")
    item, step, _ = office.awaiting()
    now = step.opened_at + timedelta(minutes=30)
    sweep_deadlines(now=now)
    sweep_deadlines(now=now + timedelta(days=3))
    assert notices(office, step) == [("assigned", None), ("reminder", None)]
    assert office.kinds(item).count("decision_step.reminded") == 1


def test_without_a_reminder_of_its_own_it_reminds_when_an_answer_was_promised(office: Office) -> None:
    put_rule(office, respond_within="PT8H")
    _, step, _ = office.awaiting()
    assert step.remind_at == step.respond_due_at == step.opened_at + timedelta(hours=8)


def test_api_escalates_a_step(lea: Office) -> None:
    _, step, _ = lea.awaiting()
    path = f"/decision-steps/{step.public_id}/escalate"
    refused(lea.api("rita").post(path, {}), 403, "scope_missing")
    refused(lea.api("fay").post(path, {"to": {"user": "vera"}}), 403, "permission_denied")
    body = lea.api("fay").post(path, {"reason": "soon"}).json()
    assert (body["escalated_to"], body["status"]) == ([{"role": "lead"}], "pending")
    refused(lea.api("fay").post(path, {}), 409, "already_escalated")
    refused(lea.api("ada").post(path, {"to": {"role": "nobody"}}), 422, "nobody_to_escalate_to")
    refused(lea.api("ada").post(path, {"to": {"role": "a", "user": "b"}}), 422, "invalid_request")
    lea.vote(step, "lea", "reject")
    refused(lea.api("fay").post(path, {}), 409, "step_closed")
    refused(lea.api("fay").post("/decision-steps/ds_00000000000000000000000000/escalate", {}), 404, "not_found")
    assert lea.step(step).escalated_at is not None
    assert lea.step(step).escalated_at <= clock.now()
