"""Taking an action back: a governed action of its own, possible on a case that has ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from integrations.models import Execution
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import BANK, RULES, WORKFLOW, Office
from tests.workitems.retention.archives import aged, dry_run, put_rule, run
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, errors
from workitems.executions.operator_actions import cancel_execution, retry_execution
from workitems.executions.undo import undo_of
from workitems.explain.gather import explain_work_item
from workitems.items.locks import locked_execution
from workitems.lifecycle import WorkItemStatus
from workitems.models import WorkItem

REFUND: dict[str, Any] = {
    "method": "POST",
    "path": "/refunds",
    "body": {"of": "${undoes.idempotency_key}", "amount": "${item.payload.amount}"},
    "resolves": True,
}
ASKS_FINANCE: dict[str, Any] = {
    "id": "refunds",
    "when": "ctx.action == 'refund'",
    "effect": "require_approval",
    "reason": "REFUND",
    "approvals": {"role": "finance"},
}


@pytest.fixture
def refunding(office: Office, bank: Receiver) -> Office:
    office.upsert_workflow(actions=[*WORKFLOW["actions"], "refund"])
    pay = {**BANK["actions"]["pay"], "undo": "refund"}
    office.put_bank(base_url=bank.url, actions={"pay": pay, "refund": REFUND})
    return office


def paid(office: Office) -> tuple[WorkItem, Execution]:
    item = office.decided()
    execution = office.execute(item).execution
    run_jobs()
    assert office.item(item).status == "resolved"
    return item, office.execution(execution)


def undo_offered(office: Office, execution: Execution) -> str | None:
    with unit_of_work(office.tenant.id):
        return undo_of(locked_execution(execution.id, ctx=office.system)[1])


def test_an_undo_runs_on_an_ended_item_which_stays_as_it_ended(refunding: Office, bank: Receiver) -> None:
    item, execution = paid(refunding)
    assert undo_offered(refunding, execution) == "refund"
    undo = refunding.execute(item, action="refund").execution
    assert (undo.undoes_id, undo.status) == (execution.id, "started")
    assert refunding.item(item).status == "resolved"
    run_jobs()
    assert refunding.execution(undo).status == "succeeded"
    assert refunding.item(item).status == "resolved"
    first, second = bank.requests()
    assert second["body"] == f'{{"amount":5,"of":"{execution.public_id}"}}'
    assert second["headers"]["idempotency-key"] == undo.public_id != first["headers"]["idempotency-key"]
    assert refunding.kinds(item)[-4:] == [
        "execution.proposed",
        "policy.rechecked",
        "execution.executed",
        "execution.succeeded",
    ]
    assert refunding.bodies("execution.proposed")[-1]["inputs"]["undoes"] == execution.public_id
    with unit_of_work(refunding.tenant.id):
        found = WorkItem.objects.get(id=item.id)
        assert explain_work_item(found, ctx=refunding.ctx("rita")).why == [
            "It was resolved.",
            "refund on bank: succeeded.",
        ]


def test_an_action_is_undone_once(refunding: Office, bank: Receiver) -> None:
    item, execution = paid(refunding)
    refunding.execute(item, action="refund")
    for action in ("refund", "pay"):
        with pytest.raises(errors.ExecutionInProgress):
            refunding.execute(item, action=action)
    run_jobs()
    assert undo_offered(refunding, execution) is None
    for action in ("refund", "pay"):
        with pytest.raises(errors.TransitionNotAllowed):
            refunding.execute(item, action=action)
    with pytest.raises(errors.ExecutionNotUndoable):
        refunding.execute(item, action="refund", undoes=execution.id)
    assert len(bank.requests()) == 2


def test_an_undo_may_need_an_approval(refunding: Office, bank: Receiver) -> None:
    refunding.put_rules(ASKS_FINANCE, *RULES)
    item, _ = paid(refunding)
    started = refunding.execute(item, action="refund")
    assert (started.execution.status, refunding.item(item).status) == ("awaiting_approval", "resolved")
    assert started.step is not None
    refunding.vote(started.step, "fay")
    run_jobs()
    assert refunding.execution(started.execution).status == "succeeded"
    assert refunding.item(item).status == "resolved"
    assert len(bank.requests()) == 2


def test_retention_keeps_an_ended_item_with_an_open_undo(refunding: Office, bank: Receiver) -> None:
    refunding.put_rules(ASKS_FINANCE, *RULES)
    item, execution = paid(refunding)
    started = refunding.execute(item, action="refund")
    refunding.set_execution(execution, finished_at=clock.now() - timedelta(days=100))
    aged(refunding, item, days=100)
    put_rule(refunding, keep_payload="P30D")
    assert (dry_run(refunding).planned_contents, run(refunding)) == (0, 0)
    refunding.on_execution(started.execution, cancel_execution)
    refunding.set_execution(started.execution, finished_at=clock.now() - timedelta(days=100))
    assert (dry_run(refunding).planned_contents, run(refunding)) == (1, 1)


@pytest.mark.parametrize("decision", ["reject", "cancel"])
def test_an_undo_that_is_not_done_leaves_the_item_and_may_be_asked_again(
    refunding: Office, bank: Receiver, decision: str
) -> None:
    refunding.put_rules(ASKS_FINANCE, *RULES)
    item, execution = paid(refunding)
    started = refunding.execute(item, action="refund")
    assert started.step is not None
    if decision == "reject":
        refunding.vote(started.step, "fay", "reject")
    else:
        refunding.on_execution(started.execution, cancel_execution)
    ended = "rejected" if decision == "reject" else "cancelled"
    assert refunding.execution(started.execution).status == ended
    assert refunding.item(item).status == "resolved"
    assert undo_offered(refunding, execution) == "refund"
    assert len(bank.requests()) == 1


def test_an_undo_that_fails_leaves_the_item_and_can_be_retried(refunding: Office, bank: Receiver) -> None:
    item, _ = paid(refunding)
    bank.behave(status=422)
    undo = refunding.execute(item, action="refund").execution
    run_jobs()
    assert (refunding.execution(undo).status, refunding.item(item).status) == ("failed", "resolved")
    bank.behave()
    refunding.on_execution(undo, retry_execution)
    run_jobs()
    assert (refunding.execution(undo).status, refunding.item(item).status) == ("succeeded", "resolved")


def test_a_policy_may_refuse_an_undo(refunding: Office, bank: Receiver) -> None:
    refunding.put_rules({"id": "no", "when": "ctx.action == 'refund'", "effect": "deny", "reason": "FINAL"}, *RULES)
    item, _ = paid(refunding)
    before = refunding.count(Execution)
    with pytest.raises(errors.PolicyDenied):
        refunding.execute(item, action="refund")
    assert refunding.count(Execution) == before
    assert refunding.item(item).status == WorkItemStatus.RESOLVED


def test_api_undoes_an_action(refunding: Office, bank: Receiver) -> None:
    _, execution = paid(refunding)
    api = refunding.api("rita")
    answer = api.post(f"/executions/{execution.public_id}/undo", {})
    assert answer.status_code == 202, answer.content
    body = answer.json()
    assert (body["status"], body["work_item_status"], body["decision_steps"]) == ("started", "resolved", [])
    shown = api.get(f"/executions/{body['execution_id']}").json()
    assert (shown["undoes"], shown["action_id"]) == (execution.public_id, "refund")
    again = api.post(f"/executions/{execution.public_id}/undo", {})
    assert (again.status_code, again.json()["reason_code"]) == (409, "execution_not_undoable")
    viewer = refunding.api("wim").post(f"/executions/{execution.public_id}/undo", {})
    assert (viewer.status_code, viewer.json()["reason_code"]) == (403, "scope_missing")


def test_what_failed_or_names_no_undo_cannot_be_undone(office: Office, bank: Receiver) -> None:
    item, execution = paid(office)
    assert undo_offered(office, execution) is None
    with pytest.raises(errors.TransitionNotAllowed):
        office.execute(item)
