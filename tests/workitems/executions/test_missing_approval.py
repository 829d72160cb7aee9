"""Approvals counted again right before the call: what is missing is asked for, over the same envelope."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from integrations.executions.lease import acquire_lease
from integrations.freezes.scope import FreezeScope
from integrations.models import Execution
from policies.models import Policy
from tests.console.sign_in import sign_in
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import ASKS_TWO, RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.role_grants import withdraw_role
from threada_site.identity.principals import remove_member
from threada_site.kernel import clock
from workitems.executions.dead_letters import retry_executions
from workitems.executions.freezes import lift_freeze, set_freeze
from workitems.executions.operator_actions import retry_execution
from workitems.executions.run_execution import run_execution
from workitems.explain.gather import explain_work_item
from workitems.models import DecisionStep, Vote, WorkItem
from workitems.steps.delegations import OutOfOffice, delegate, end_delegation

APPROVE_ALL: dict[str, Any] = {
    "id": "all",
    "when": "ctx.action == 'pay'",
    "effect": "require_approval",
    "reason": "ALL",
    "approvals": ASKS_TWO,
}


def failed(office: Office, bank: Receiver, *, amount: int = 5) -> tuple[WorkItem, Execution]:
    """Return a payment that no policy wanted approved and that the bank refused."""
    bank.behave(status=422)
    item = office.decided(amount)
    execution = office.execute(item).execution
    run_execution(office.tenant, execution.id)
    bank.behave()
    assert office.execution(execution).status == "failed"
    return item, execution


def approved(office: Office, **more: Any) -> tuple[WorkItem, DecisionStep, Execution]:
    """Return a payment with two approvals that has not been called."""
    item, step, execution = office.awaiting(**more)
    office.vote(step, "fay")
    office.vote(step, "finn")
    assert office.execution(execution).status == "started"
    return item, step, execution


def run(office: Office, execution: Execution) -> str:
    run_execution(office.tenant, execution.id)
    return office.execution(execution).status


def waits(office: Office, execution: Execution, step: DecisionStep | None = None) -> DecisionStep:
    """Check that the execution waits for a new step over the same envelope, and return the step."""
    item = office.item_of(execution)
    assert (office.execution(execution).status, item.status) == ("awaiting_approval", "awaiting_approval")
    pending = office.pending_step(item)
    now = office.execution(execution)
    assert (pending.envelope_id, pending.envelope_sha256) == (now.envelope_id, now.envelope.sha256)
    assert step is None or (pending.id != step.id and pending.envelope_id == step.envelope_id)
    return pending


def votes_on(office: Office, step: DecisionStep) -> list[tuple[str, bool]]:
    with unit_of_work(office.tenant.id):
        rows = Vote.objects.filter(step=step).select_related("voter").order_by("id")
        return [(vote.voter.username, vote.carried_from is not None) for vote in rows]


@pytest.fixture
def days_later(monkeypatch: pytest.MonkeyPatch) -> Any:
    real = clock.now

    def move(days: int) -> None:
        monkeypatch.setattr(clock, "now", lambda: real() + timedelta(days=days))

    return move


def test_trying_again_asks_for_the_approval_that_the_policy_in_force_wants(office: Office, bank: Receiver) -> None:
    item, execution = failed(office, bank)
    envelope = office.execution(execution).envelope
    office.put_rules(APPROVE_ALL)
    before = len(bank.requests())
    office.on_execution(execution, retry_execution)
    run_jobs()
    step = waits(office, execution)
    assert len(bank.requests()) == before
    assert (step.envelope_id, step.envelope_sha256) == (envelope.id, envelope.sha256)
    with unit_of_work(office.tenant.id):
        in_force = Policy.objects.get(slug="rules").in_force_id
    assert step.policy_version_ids == [in_force]
    kinds = office.kinds(item)
    assert kinds.index("policy.rechecked") < kinds.index("execution.approval_missing")
    assert kinds.count("execution.executed") == 1
    office.vote(step, "fay")
    office.vote(step, "finn")
    run_jobs()
    assert (office.execution(execution).status, office.item(item).status) == ("succeeded", "resolved")
    assert len(bank.requests()) == before + 1
    assert kinds.count("execution.approval_missing") == 1


def test_the_console_button_and_the_bulk_retry_ask_too(office: Office, bank: Receiver) -> None:
    _, first = failed(office, bank)
    _, second = failed(office, bank)
    office.put_rules(APPROVE_ALL)
    sign_in(office.people["rita"]).post(reverse("admin:integrations_execution_retry", args=[first.public_id]))
    with unit_of_work(office.tenant.id):
        assert retry_executions([second.id], ctx=office.ctx("rita")).retried == [second.id]
    run_jobs()
    waits(office, first)
    waits(office, second)


def test_votes_that_satisfy_the_policies_are_not_asked_for_again(office: Office, bank: Receiver) -> None:
    _, _, execution = approved(office)
    assert run(office, execution) == "succeeded"
    assert len(bank.requests()) == 1


def test_a_stricter_policy_takes_the_earlier_votes_along(office: Office, bank: Receiver) -> None:
    _, step, execution = approved(office)
    office.put_rules({**RULES[1], "approvals": {**ASKS_TWO, "all": [{"role": "finance", "count": 3}]}}, RULES[3])
    run(office, execution)
    again = waits(office, execution, step)
    assert votes_on(office, again) == [("fay", True), ("finn", True)]
    office.vote(again, "fred")
    assert run(office, execution) == "succeeded"


def test_the_vote_of_somebody_who_left_no_longer_counts(office: Office, bank: Receiver) -> None:
    item, step, execution = approved(office)
    with unit_of_work(office.tenant.id):
        remove_member(office.people["finn"], ctx=office.system)
    assert run(office, execution) == "awaiting_approval"
    again = waits(office, execution, step)
    assert votes_on(office, again) == [("fay", True)]
    assert bank.requests() == []
    (body,) = office.bodies("execution.approval_missing")
    with unit_of_work(office.tenant.id):
        cast = {vote.voter.username: vote.public_id for vote in Vote.objects.filter(step=step).select_related("voter")}
        explained = explain_work_item(office.item(item), ctx=office.ctx("fred"))
    assert (body["inputs"]["votes"], body["inputs"]["votes_not_counted"]) == ([cast["fay"]], [cast["finn"]])
    assert "The approvals given do not satisfy the policies in force, or no longer count." in explained.why
    assert "1 of 2 votes given." in explained.why
    office.vote(again, "fred")
    assert run(office, execution) == "succeeded"


@pytest.mark.parametrize("wanted", ["session", "step_up", "phishing_resistant"])
def test_a_vote_without_the_authentication_that_the_policy_in_force_wants_no_longer_counts(
    office: Office, bank: Receiver, wanted: str
) -> None:
    _, step, execution = approved(office)
    office.put_rules({**RULES[1], "approvals": {**ASKS_TWO, "authentication": wanted}}, RULES[3])
    run(office, execution)
    assert votes_on(office, waits(office, execution, step)) == []
    assert bank.requests() == []


def test_the_vote_of_an_author_of_the_policy_in_force_no_longer_counts(office: Office, bank: Receiver) -> None:
    asks = {**RULES[1], "approvals": {**ASKS_TWO, "exclude": ["policy_author"]}}
    office.put_rules(asks, RULES[3])
    _, step, execution = approved(office)
    with unit_of_work(office.tenant.id):
        version = Policy.objects.get(slug="rules").in_force
        assert version is not None
    office.put_rules({**asks, "reason": "LARGER"}, RULES[3])
    with unit_of_work(office.tenant.id):
        Policy.objects.get(slug="rules").versions.exclude(id=version.id).update(created_by=office.people["fay"].id)
    run(office, execution)
    assert votes_on(office, waits(office, execution, step)) == [("finn", True)]


def test_the_vote_of_somebody_who_lost_the_role_no_longer_counts(office: Office, bank: Receiver) -> None:
    _, step, execution = approved(office)
    with unit_of_work(office.tenant.id):
        withdraw_role(office.people["fay"], "finance", ctx=office.system)
    run(office, execution)
    assert votes_on(office, waits(office, execution, step)) == [("finn", True)]


def test_the_vote_of_a_delegate_whose_delegation_ended_no_longer_counts(office: Office, bank: Receiver) -> None:
    with unit_of_work(office.tenant.id):
        out_of_office = OutOfOffice(
            delegator=office.people["fred"], delegate=office.people["vera"], ends_at=clock.now() + timedelta(days=1)
        )
        row = delegate(out_of_office, ctx=office.ctx("fred"))
    _, step, execution = office.awaiting()
    office.vote(step, "vera")
    office.vote(step, "finn")
    with unit_of_work(office.tenant.id):
        end_delegation(row, ctx=office.ctx("fred"))
    run(office, execution)
    again = waits(office, execution, step)
    assert votes_on(office, again) == [("finn", True)]
    office.vote(again, "fred")
    assert run(office, execution) == "succeeded"


def test_votes_that_became_dependent_count_once(office: Office, bank: Receiver) -> None:
    _, step, execution = approved(office)
    office.depend("finn", on="fay", reason="reset")
    run(office, execution)
    waits(office, execution, step)
    assert bank.requests() == []


@pytest.mark.parametrize(("valid_for", "days"), [(None, 31), ("P2D", 3)])
def test_an_old_approval_no_longer_counts(
    office: Office, bank: Receiver, days_later: Any, valid_for: str | None, days: int
) -> None:
    own = {"approval_valid_for": valid_for} if valid_for else {}
    office.put_rules({**RULES[1], "approvals": {**ASKS_TWO, **own}}, RULES[3])
    bank.behave(status=422)
    _, step, execution = approved(office)
    assert run(office, execution) == "failed"
    bank.behave()
    days_later(days)
    office.on_execution(execution, retry_execution)
    run(office, execution)
    again = waits(office, execution, step)
    assert votes_on(office, again) == []
    office.vote(again, "fay")
    office.vote(again, "finn")
    assert run(office, execution) == "succeeded"


def test_an_approval_does_not_outlive_a_long_freeze(office: Office, bank: Receiver, days_later: Any) -> None:
    _, step, execution = approved(office)
    with unit_of_work(office.tenant.id):
        frozen = set_freeze(FreezeScope(), reason="Stop.", ctx=office.ctx("ada")).freeze
    assert run(office, execution) == "started"
    days_later(31)
    with unit_of_work(office.tenant.id):
        lift_freeze(frozen.id, ctx=office.ctx("ada"))
    run(office, execution)
    waits(office, execution, step)


def test_an_execution_that_may_have_acted_becomes_unknown(office: Office, bank: Receiver) -> None:
    execution = office.execute(office.decided()).execution
    with unit_of_work(office.tenant.id):
        acquire_lease(
            Execution.objects.select_for_update().get(id=execution.id), now=clock.now() - timedelta(minutes=1)
        )
    office.put_rules(APPROVE_ALL)
    run_execution(office.tenant, execution.id)
    office.set_execution(execution, next_try_at=None)
    assert run(office, execution) == "outcome_unknown"
    assert office.execution(execution).failure == "approval_missing"
    with unit_of_work(office.tenant.id):
        assert not DecisionStep.objects.filter(execution_id=execution.id).exists()
    assert bank.requests() == []


def test_a_deny_still_denies(office: Office, bank: Receiver) -> None:
    _, execution = failed(office, bank)
    office.put_rules({"id": "no", "when": "ctx.action == 'pay'", "effect": "deny", "reason": "NO"})
    office.on_execution(execution, retry_execution)
    run_jobs()
    assert (office.execution(execution).status, office.execution(execution).failure) == ("failed", "policy_denied")


def test_a_batch_of_votes_settles_what_was_missing(office: Office, bank: Receiver) -> None:
    executions = [failed(office, bank)[1] for _ in range(2)]
    office.put_rules(APPROVE_ALL)
    for execution in executions:
        office.on_execution(execution, retry_execution)
    run_jobs()
    steps = [waits(office, execution) for execution in executions]
    entries = [{"decision_step_id": step.public_id, "envelope_sha256": step.envelope_sha256} for step in steps]
    for by in ("fay", "finn"):
        answer = office.api(by).post("/decision-steps/batch-votes", {"decision": "approve", "steps": entries})
        assert answer.status_code == 201, answer.json()
    run_jobs()
    assert {office.execution(execution).status for execution in executions} == {"succeeded"}


def test_who_voted_before_cannot_vote_again_on_the_new_step(office: Office, bank: Receiver) -> None:
    _, step, execution = approved(office)
    office.put_rules({**RULES[1], "approvals": {**ASKS_TWO, "all": [{"role": "finance", "count": 3}]}}, RULES[3])
    run(office, execution)
    again = waits(office, execution, step)
    answer = office.api("fay").post(
        f"/decision-steps/{again.public_id}/votes", {"decision": "approve", "envelope_sha256": again.envelope_sha256}
    )
    assert answer.json()["reason_code"] == "already_voted"


def test_counting_again_takes_three_statements_and_only_where_steps_exist(office: Office, bank: Receiver) -> None:
    def statements(execution: Execution) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            run_execution(office.tenant, execution.id)
        assert office.execution(execution).status == "succeeded"
        return [query["sql"] for query in captured]

    def of_members(queries: list[str]) -> int:
        names = ("workitems_delegation", "tenancy_membership", "tenancy_grantrecord")
        return sum(any(f"FROM {name}" in sql or f'FROM "{name}"' in sql for name in names) for sql in queries)

    plain = statements(office.execute(office.decided()).execution)
    counted = statements(approved(office)[2])
    assert of_members(counted) - of_members(plain) <= 3
