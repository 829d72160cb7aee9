"""Undo that Threada starts by itself: due time, start in the requester's name, alarms, end of the due time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from integrations.configuration.configure import withdraw_integration
from integrations.documents import read_integration
from integrations.freezes.scope import FreezeScope
from integrations.models import Execution
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import BANK, RULES, WORKFLOW, Office
from tests.workitems.retention.archives import aged, dry_run, put_rule, run
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, errors
from threada_site.tenancy.models import Membership
from workitems.admin.sent import end_in_words
from workitems.executions.freezes import lift_freeze, set_freeze
from workitems.models import Notice, NoticeMessage, WorkItem
from workitems.sweeps import dispatch_all_waiting, enqueue_due_undos

BODY: dict[str, Any] = {"of": "${undoes.idempotency_key}", "kind": "${ctx.actor_kind}"}
REVOKE: dict[str, Any] = {"method": "POST", "path": "/revocations", "body": BODY}
NO_SYSTEM: dict[str, Any] = {
    "id": "no-system",
    "when": "ctx.action == 'revoke' && ctx.actor_kind == 'system'",
    "effect": "deny",
    "reason": "KEEP",
}
ASKS_FINANCE: dict[str, Any] = {
    "id": "revocations",
    "when": "ctx.action == 'revoke'",
    "effect": "require_approval",
    "reason": "REVOCATION",
    "approvals": {"role": "finance"},
}


@pytest.fixture
def granting(office: Office, bank: Receiver) -> Office:
    office.upsert_workflow(actions=[*WORKFLOW["actions"], "revoke"])
    pay = {**BANK["actions"]["pay"], "undo": "revoke", "undo_after": "P${item.payload.amount}D"}
    office.put_bank(base_url=bank.url, actions={"pay": pay, "revoke": REVOKE})
    return office


def granted(office: Office, days: int = 5) -> tuple[WorkItem, Execution]:
    item = office.decided(days)
    execution = office.execute(item).execution
    run_jobs()
    return item, office.execution(execution)


def make_due(office: Office, execution: Execution) -> None:
    office.set_execution(execution, undo_next_try_at=clock.now() - timedelta(seconds=1))
    office.set_execution(execution, undo_due_at=clock.now() - timedelta(seconds=1))


def sweep(office: Office, execution: Execution) -> Execution | None:
    """Run the sweep and its jobs. Return the newest undo of the execution, or None."""
    enqueue_due_undos(now=clock.now())
    run_jobs()
    with unit_of_work(office.tenant.id):
        undos = Execution.objects.filter(tenant_id=office.tenant.id, undoes_id=execution.id)
        return undos.order_by("-id").first()


def problem(office: Office, execution: Execution) -> str:
    return office.execution(execution).undo_problem


def test_the_time_comes_from_the_envelope_and_the_undo_starts_for_a_requester_who_left(
    granting: Office, bank: Receiver
) -> None:
    item, execution = granted(granting)
    envelope = orjson.loads(bytes(execution.envelope.body))
    assert envelope["action"]["undo_after"] == {"action": "revoke", "after": "P5D"}
    assert end_in_words(envelope) == "It ends by itself 5 days after it succeeds: Threada then executes revoke."
    assert execution.undo_due_at is not None
    assert execution.finished_at is not None
    assert abs(execution.undo_due_at - execution.finished_at - timedelta(days=5)) < timedelta(seconds=2)
    assert sweep(granting, execution) is None
    make_due(granting, execution)
    with platform_role():
        Membership.objects.filter(tenant_id=granting.tenant.id, user=granting.people["rita"]).delete()
    undo = sweep(granting, execution)
    assert undo is not None
    assert (undo.status, undo.is_timed_undo, undo.requested_by) == ("succeeded", True, execution.requested_by)
    assert bank.requests()[-1]["body"] == f'{{"kind":"system","of":"{execution.public_id}"}}'
    ended = granting.execution(execution)
    assert (ended.undo_due_at, ended.undo_next_try_at, ended.undo_problem) == (None, None, "")
    assert granting.item(item).status == "resolved"
    proposed = granting.bodies("execution.proposed")[-1]
    assert proposed["inputs"]["permitted_by"] == "undo_after"
    assert "execution.undo_scheduled" in granting.kinds(item)
    assert "execution.undo_overdue" not in granting.kinds(item)
    sweep(granting, execution)
    assert len(bank.requests()) == 2


def test_a_denial_is_an_alarm_once_and_is_asked_again(granting: Office, bank: Receiver) -> None:
    granting.put_rules(NO_SYSTEM, *RULES)
    item, execution = granted(granting)
    make_due(granting, execution)
    assert sweep(granting, execution) is None
    again = granting.execution(execution)
    assert again.undo_problem == "policy_denied"
    assert again.undo_next_try_at is not None
    assert again.undo_next_try_at > clock.now() + timedelta(minutes=55)
    make_due(granting, execution)
    sweep(granting, execution)
    assert granting.kinds(item).count("execution.undo_overdue") == 1
    run_jobs()
    with unit_of_work(granting.tenant.id):
        notice = Notice.objects.get(work_item_id=item.id, kind="undo_overdue")
        told = NoticeMessage.objects.filter(notice=notice).values_list("recipient__username", flat=True)
        assert set(told) == {"ada"}
    answer = granting.api("ada").get("/executions?undo=overdue").json()
    assert [row["undo_problem"] for row in answer["data"]] == ["policy_denied"]
    granting.put_rules(*RULES)
    make_due(granting, execution)
    undo = sweep(granting, execution)
    assert undo is not None
    assert undo.status == "succeeded"
    assert granting.execution(execution).undo_due_at is None
    assert granting.api("ada").get("/executions?undo=due").json()["data"] == []


def test_a_missing_approval_is_an_alarm_until_people_approve(granting: Office, bank: Receiver) -> None:
    granting.put_rules(ASKS_FINANCE, *RULES)
    _, execution = granted(granting)
    make_due(granting, execution)
    undo = sweep(granting, execution)
    assert undo is not None
    assert undo.status == "awaiting_approval"
    assert problem(granting, execution) == "approval_pending"
    granting.vote(granting.pending_step(granting.item_of(undo)), "fay")
    run_jobs()
    assert granting.execution(undo).status == "succeeded"
    assert granting.execution(execution).undo_due_at is None


def test_a_freeze_is_an_alarm_and_the_undo_runs_when_it_is_lifted(granting: Office, bank: Receiver) -> None:
    _, execution = granted(granting)
    make_due(granting, execution)
    with unit_of_work(granting.tenant.id):
        freeze = set_freeze(FreezeScope(), reason="The bank is on fire.", ctx=granting.ctx("ada")).freeze
    undo = sweep(granting, execution)
    assert undo is not None
    assert undo.status == "started"
    assert problem(granting, execution) == "undo_blocked_by_freeze"
    with unit_of_work(granting.tenant.id):
        lift_freeze(freeze.id, reason="It is out.", ctx=granting.ctx("ada"))
    dispatch_all_waiting(now=clock.now())
    run_jobs()
    assert granting.execution(undo).status == "succeeded"
    assert granting.execution(execution).undo_due_at is None


def test_a_failure_is_an_alarm_and_the_next_hour_tries_again(granting: Office, bank: Receiver) -> None:
    item, execution = granted(granting)
    make_due(granting, execution)
    bank.behave(status=422)
    first = sweep(granting, execution)
    assert first is not None
    assert first.status == "failed"
    assert problem(granting, execution) == ""
    make_due(granting, execution)
    sweep(granting, execution)
    assert problem(granting, execution) == "rejected_by_receiver"
    bank.behave()
    make_due(granting, execution)
    second = sweep(granting, execution)
    assert second is not None
    assert second.id != first.id
    assert second.status == "succeeded"
    assert granting.kinds(item).count("execution.undo_overdue") == 1


def test_an_undo_by_hand_clears_the_time_and_retention_and_erasure_wait_for_it(
    granting: Office, bank: Receiver
) -> None:
    item, execution = granted(granting)
    granting.set_execution(execution, finished_at=clock.now() - timedelta(days=100))
    aged(granting, item, days=100)
    put_rule(granting, keep_payload="P30D")
    assert (dry_run(granting).planned_contents, run(granting)) == (0, 0)
    with unit_of_work(granting.tenant.id), pytest.raises(errors.InUse, match="end by themselves"):
        withdraw_integration("bank", ctx=granting.system)
    undo = granting.execute(granting.item(item), action="revoke").execution
    assert not undo.is_timed_undo
    run_jobs()
    assert granting.execution(execution).undo_due_at is None
    assert bank.requests()[-1]["body"] == f'{{"kind":"human","of":"{execution.public_id}"}}'
    granting.set_execution(undo, finished_at=clock.now() - timedelta(days=100))
    assert (dry_run(granting).planned_contents, run(granting)) == (1, 1)


def test_an_envelope_without_its_time_is_not_executed_and_a_workflow_must_allow_the_undo(
    granting: Office, bank: Receiver
) -> None:
    item = granting.decided(5000)
    with pytest.raises(errors.ExpressionFailed, match="at most 366 days"):
        granting.execute(item)
    granting.upsert_workflow(actions=WORKFLOW["actions"])
    with pytest.raises(errors.ActionNotAllowed, match="ends by itself with revoke"):
        granting.execute(granting.decided())
    assert bank.requests() == []


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"undo": None}, "/spec/actions/pay/undo_after"),
        ({"undo_after": "P2Y"}, "/spec/actions/pay/undo_after"),
        ({"undo_after": "P367D"}, "/spec/actions/pay/undo_after"),
        ({"undo_after": "${item.payload.}"}, "/spec/actions/pay/undo_after"),
        ({"undo": "ask"}, "/spec/actions/pay/undo_after"),
    ],
)
def test_documents_declare_a_time_only_with_an_undo_that_needs_no_input(change: dict[str, Any], pointer: str) -> None:
    pay = {**BANK["actions"]["pay"], "undo": "revoke", "undo_after": "P366D"}
    ask = {**REVOKE, "input_schema": {"type": "object", "required": ["why"]}}
    spec = {**BANK, "actions": {"pay": pay, "revoke": REVOKE, "ask": ask}}
    assert read_integration(spec).action("pay").undo_after is not None
    changed = {name: value for name, value in {**pay, **change}.items() if value is not None}
    with pytest.raises(errors.DocumentInvalid) as refused:
        read_integration({**spec, "actions": {**spec["actions"], "pay": changed}})
    assert [error.pointer for error in refused.value.errors] == [pointer]
