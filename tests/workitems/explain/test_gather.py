"""`GET /work-items/{id}/explain`, word for word, in the situations a case gets into."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import ASKS_TWO, RULES, Office
from tests.workitems.steps.test_reachability_sweep import leave
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.roles import define_role
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import Scope
from workitems.executions.close_item import cancel_work_item, resolve_work_item
from workitems.items.locks import locked_step
from workitems.models import WorkItem
from workitems.steps.claims import claim_step
from workitems.steps.deadline_sweep import sweep_deadlines
from workitems.steps.reassignment import reassign_step

pytestmark = pytest.mark.django_db

ASKED = "Policy rules requires an approval: LARGE (rule large)."
FINE = "Policy rules allows it: FINE (rule fine)."
WRITES = ["change its payload, which starts the case again", "cancel it"]
DECIDES = ["approve or reject it", "approve it with changes, which starts the decision again"]
HANDS_ON = ["reassign it"]


def explained(office: Office, item: WorkItem, by: str = "rita") -> dict[str, Any]:
    answer = office.api(by).get(f"/work-items/{item.public_id}/explain")
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    assert body.pop("work_item_id") == item.public_id
    assert body.pop("simulated") is False
    del body["waits"]
    assert body.pop("status") == office.item(item).status
    return body


def said(
    *why: str, waiting_for: tuple[str, ...] = (), until: str | None = None, then: str | list[str], you_may: list[str]
) -> dict[str, Any]:
    following = [then] if isinstance(then, str) else then
    return {
        "why": list(why),
        "waiting_for": list(waiting_for),
        "wait_ends_at": until,
        "next": following,
        "you_may": you_may,
    }


def for_others(case: dict[str, Any]) -> dict[str, Any]:
    """Return what others than the requester read."""
    return {**case, "waiting_for": [line.replace("yourself", "the requester") for line in case["waiting_for"]]}


def test_new(office: Office) -> None:
    assert explained(office, office.create()) == said(
        "It was received. The policies have not decided yet.",
        then="The policies in force decide, usually within seconds.",
        you_may=["execute an action", *WRITES],
    )


def test_refused_by_a_rule(office: Office) -> None:
    assert explained(office, office.decided(666)) == said(
        "Policy rules denies it: CURSED (rule cursed).", then="Nothing: refused is final.", you_may=[]
    )


def test_refused_since_no_rule_matched(office: Office) -> None:
    office.put_rules(RULES[0])
    assert explained(office, office.decided(5)) == said(
        "No rule matched, so it was refused. Add a rule that covers this case.",
        then="Nothing: refused is final.",
        you_may=[],
    )


def test_in_review(office: Office) -> None:
    item = office.decided(confidence=0.5)
    case = said(
        "Policy rules requires a review: UNSURE (rule unsure).",
        "0 of 1 vote given.",
        waiting_for=(
            "1 more person with decisions:decide on this workflow, other than yourself, the last editor or the agent's owner",
        ),
        then="With the last vote it becomes ready.",
        you_may=WRITES,
    )
    assert explained(office, item) == case
    case = for_others(case)
    assert explained(office, item, "vera") == {**case, "you_may": [*DECIDES, "claim it", *HANDS_ON]}
    assert explained(office, item, "wim") == {**case, "you_may": []}


def test_waiting_for_the_second_of_two(office: Office) -> None:
    item, step, _ = office.awaiting()
    office.vote(step, "fay")
    case = said(
        ASKED,
        "1 of 2 votes given.",
        waiting_for=("1 more person with role finance, other than yourself, the last editor or the agent's owner",),
        then="With the last vote pay on bank starts.",
        you_may=WRITES,
    )
    assert explained(office, item) == case
    case = for_others(case)
    assert explained(office, item, "fay") == {**case, "you_may": HANDS_ON}
    assert explained(office, item, "finn") == {**case, "you_may": [*DECIDES, "claim it", *HANDS_ON]}
    assert explained(office, item, "ada") == {**case, "you_may": [*HANDS_ON, "escalate it", *WRITES]}


def test_deadlines_escalation_and_whose_turn_it_is(office: Office) -> None:
    with unit_of_work(office.tenant.id):
        define_role("lead", frozenset({Scope.WORKITEMS_READ, Scope.DECISIONS_DECIDE}), ctx=office.system)
    times = {
        "remind_after": "PT1H",
        "escalate_after": "PT2H",
        "expires_after": "P1D",
        "escalate_to": [{"role": "lead"}],
    }
    office.put_rules({**RULES[1], "approvals": {**ASKS_TWO, **times}}, *RULES[2:])
    item, step, _ = office.awaiting()
    with unit_of_work(office.tenant.id):
        case, locked = locked_step(step.id, ctx=office.system)
        reassign_step(case, locked, office.people["finn"], ctx=office.ctx("fay"))
        claim_step(case, locked, ctx=office.ctx("finn"))
    assert step.expires_at is not None
    expected = said(
        ASKED,
        "0 of 2 votes given.",
        "It is assigned to you.",
        "You have claimed it.",
        "fay assigned the approval to finn.",
        waiting_for=(
            "2 more people with role finance, other than the requester, the last editor or the agent's owner",
        ),
        until=rfc3339(step.expires_at),
        then=[
            "With the last vote pay on bank starts.",
            f"At {rfc3339(step.opened_at + timedelta(hours=1))} pending approvers are reminded.",
            f"At {rfc3339(step.opened_at + timedelta(hours=2))} it is escalated to role lead.",
            "Without a decision by then it ends without approval.",
        ],
        you_may=[*DECIDES, "release it", *HANDS_ON, "escalate it"],
    )
    assert explained(office, item, "finn") == expected
    sweep_deadlines(now=step.opened_at + timedelta(hours=2))
    expected["next"] = [expected["next"][0], expected["next"][-1]]
    expected["why"].append("The approval was escalated to the role lead after a deadline.")
    assert explained(office, item, "finn") == {**expected, "you_may": [*DECIDES, "release it", *HANDS_ON]}


def test_stages(office: Office) -> None:
    stages = {"stages": [{"role": "finance"}, {"user": "vera"}]}
    office.put_rules({**RULES[1], "approvals": stages}, *RULES[2:])
    item, step, _ = office.awaiting()
    office.vote(step, "fay")
    assert explained(office, item, "vera") == said(
        ASKED,
        "1 of 2 votes given.",
        "Stage 2 of 2 is open.",
        waiting_for=("vera, other than the requester, the last editor or the agent's owner",),
        then="With the last vote pay on bank starts.",
        you_may=[*DECIDES, "claim it", *HANDS_ON],
    )


def test_nobody_can_decide(office: Office) -> None:
    item, _, _ = office.awaiting()
    leave(office, "finn")
    leave(office, "fred")
    assert explained(office, item) == said(
        ASKED,
        "0 of 2 votes given.",
        "No member can complete the approval.",
        waiting_for=("2 more people with role finance, other than yourself, the last editor or the agent's owner",),
        then="Somebody needs the required role or group, or the approval cannot be completed.",
        you_may=WRITES,
    )


def test_ready(office: Office) -> None:
    assert explained(office, office.decided(5)) == said(
        FINE,
        then="An action of its workflow can be executed, or it can be resolved.",
        you_may=["execute an action", WRITES[0], "resolve it", WRITES[1]],
    )


def test_executing(office: Office) -> None:
    item = office.decided(5)
    office.execute(item)
    assert explained(office, item, "vera") == said(
        "pay on bank is about to start.",
        then="The outcome is recorded when the receiver answers.",
        you_may=[],
    )


def test_failed_and_outcome_unknown(office: Office, bank: Receiver) -> None:
    office.put_bank(base_url=bank.url, idempotent=False)
    item = office.decided(5)
    bank.behave(status=400)
    office.execute(item)
    run_jobs()
    assert explained(office, item, "ada") == said(
        "pay on bank failed: The receiver refused the request.",
        then="The execution can be retried, another action executed, or the work item resolved or cancelled.",
        you_may=["execute an action", "retry the execution", WRITES[0], "resolve it", WRITES[1]],
    )
    bank.behave(fault="close")
    lost = office.decided(5)
    office.execute(lost)
    run_jobs()
    assert explained(office, lost, "ada") == said(
        "pay on bank has an unknown outcome: The response of the receiver is not valid.",
        waiting_for=("a person other than the requester and the agent's owner, who reconciles the execution",),
        then="It does not change until the execution is reconciled as succeeded or failed.",
        you_may=["reconcile the execution"],
    )


def test_rejected(office: Office) -> None:
    item, step, _ = office.awaiting()
    office.vote(step, "fay", "reject")
    assert explained(office, item) == said(
        "It was rejected by fay: WRONG.", then="Nothing: rejected is final.", you_may=[]
    )


def test_expired(office: Office) -> None:
    office.put_rules({**RULES[1], "approvals": {**ASKS_TWO, "expires_after": "PT1H"}}, *RULES[2:])
    item, step, _ = office.awaiting()
    sweep_deadlines(now=step.opened_at + timedelta(hours=1))
    assert explained(office, item) == said(
        ASKED, "It was not decided in time.", then="Nothing: expired is final.", you_may=[]
    )


def test_cancelled_and_resolved(office: Office) -> None:
    asked_twice, settled = office.decided(5), office.decided(6)
    office.on_item(asked_twice, cancel_work_item, reason="Asked twice")
    office.on_item(settled, resolve_work_item, reason="Settled by phone")
    assert explained(office, asked_twice) == said(
        "It was cancelled by you: Asked twice.", then="Nothing: cancelled is final.", you_may=[]
    )
    assert explained(office, settled) == said(
        "It was resolved by you: Settled by phone.", then="Nothing: resolved is final.", you_may=[]
    )


def test_resolved_by_what_was_executed(office: Office, bank: Receiver) -> None:
    item = office.decided(5)
    office.execute(item)
    run_jobs()
    assert len(bank.requests()) == 1
    assert explained(office, item) == said(
        "pay on bank succeeded, which resolves it.", then="Nothing: resolved is final.", you_may=[]
    )
