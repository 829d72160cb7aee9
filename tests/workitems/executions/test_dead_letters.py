"""Dead letters: list, filter, and retry of one or many."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command

from integrations.models import Execution
from tests.factories import acting_system
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors, ids
from threada_site.tenancy.models import Tenant
from workitems.executions.close_item import cancel_work_item
from workitems.executions.dead_letters import Criteria, dead_letters, retry_dead_letters, retry_executions


def failed(office: Office, bank: Receiver, count: int) -> list[Execution]:
    bank.behave(status=422)
    runs = [office.execute(office.decided()).execution for _ in range(count)]
    run_jobs()
    bank.behave()
    assert {office.execution(run).status for run in runs} == {"failed"}
    return runs


def listed(office: Office, **criteria: str) -> list[object]:
    with unit_of_work(office.tenant.id):
        return list(dead_letters(Criteria(**criteria), ctx=office.ctx("rita")).values_list("id", flat=True))


def test_dead_letters_are_the_last_failed_runs_that_can_be_retried(office: Office, bank: Receiver) -> None:
    first, second, third, fourth = failed(office, bank, 4)
    office.execute(office.decided())
    office.execute(office.item_of(second))
    office.on_item(office.item_of(third), cancel_work_item)
    assert listed(office) == [first.id, fourth.id]
    assert listed(office, failure="rejected_by_receiver", integration="bank", workflow="payments") == [
        first.id,
        fourth.id,
    ]
    assert listed(office, failure="timeout") == []
    assert listed(office, action="other") == []


def test_each_is_retried_by_itself(office: Office, bank: Receiver) -> None:
    first, second, third = failed(office, bank, 3)
    office.execute(office.item_of(second))
    before = {run.id: office.execution(run).envelope.sha256 for run in (first, third)}
    stranger = ids.new_uuid()
    with unit_of_work(office.tenant.id):
        done = retry_executions([third.id, second.id, first.id, stranger], ctx=office.ctx("rita"))
    assert done.retried == [first.id, third.id]
    assert [(entry.execution_id, entry.refusal.reason_code) for entry in done.refused] == [
        (stranger, "not_found"),
        (second.id, "execution_not_retryable"),
    ]
    run_jobs()
    assert [office.execution(run).status for run in (first, second, third)] == ["succeeded", "failed", "succeeded"]
    assert before == {run.id: office.execution(run).envelope.sha256 for run in (first, third)}
    assert len(office.bodies("execution.retried")) == 2
    assert len(bank.requests()) == 3 + 3  # three that failed, then two retries and the new one


def test_the_rules_in_force_are_asked_again(office: Office, bank: Receiver) -> None:
    (run,) = failed(office, bank, 1)
    office.put_rules({"id": "stop", "when": "ctx.action == 'pay'", "effect": "deny", "reason": "STOP"}, *RULES)
    with unit_of_work(office.tenant.id):
        assert retry_dead_letters(Criteria(), ctx=office.ctx("rita")).retried == [run.id]
    run_jobs()
    assert (office.execution(run).status, office.execution(run).failure) == ("failed", "policy_denied")
    assert len(bank.requests()) == 1


def test_who_may_not_execute_retries_nothing(office: Office, bank: Receiver) -> None:
    (run,) = failed(office, bank, 1)
    with unit_of_work(office.tenant.id):
        done = retry_executions([run.id], ctx=office.ctx("wim"))
    assert [entry.refusal.reason_code for entry in done.refused] == ["permission_denied"]
    assert office.execution(run).status == "failed"
    assert office.bodies("execution.retried") == []


def test_dead_letters_of_other_tenants_are_not_listed(office: Office, bank: Receiver, other_tenant: Tenant) -> None:
    (run,) = failed(office, bank, 1)
    with unit_of_work(other_tenant.id):
        ctx = acting_system(other_tenant)
        assert list(dead_letters(Criteria(), ctx=ctx)) == []
        assert [entry.refusal.reason_code for entry in retry_executions([run.id], ctx=ctx).refused] == ["not_found"]
    assert office.execution(run).status == "failed"


def test_one_bulk_retry_takes_at_most_200_dead_letters(office: Office) -> None:
    with unit_of_work(office.tenant.id), pytest.raises(errors.InvalidRequest):
        retry_executions([ids.new_uuid() for _ in range(201)], ctx=office.ctx("rita"))


def test_api_lists_and_retries_dead_letters(office: Office, bank: Receiver) -> None:
    runs = failed(office, bank, 3)
    api = office.api("rita")
    shown = api.get("/executions?dead_letter=true&failure=rejected_by_receiver").json()["data"]
    assert sorted(row["execution_id"] for row in shown) == sorted(run.public_id for run in runs)
    answer = api.post("/executions/replays", {"integration_id": "bank", "limit": 2.0})  # JSON knows no integers
    assert answer.status_code == 202, answer.content
    assert answer.json() == {"replayed": [run.public_id for run in runs[:2]], "refused": [], "has_more": True}
    answer = api.post("/executions/replays", {"execution_ids": [run.public_id for run in runs[1:]]})
    body = answer.json()
    assert body["replayed"] == [runs[2].public_id]
    assert [(entry["execution_id"], entry["reason_code"]) for entry in body["refused"]] == [
        (runs[1].public_id, "execution_not_retryable")
    ]
    both = api.post("/executions/replays", {"execution_ids": [runs[0].public_id], "limit": 2})
    assert (both.status_code, both.json()["reason_code"]) == (422, "invalid_request")


def test_command_lists_and_retries_dead_letters(office: Office, bank: Receiver) -> None:
    first, second = failed(office, bank, 2)
    out = io.StringIO()
    call_command("dead_letters", "list", "--tenant", office.tenant.slug, stdout=out)
    lines = [line.split()[:3] for line in out.getvalue().splitlines()]
    assert lines == [[run.public_id, "pay@bank", "rejected_by_receiver"] for run in (first, second)]
    out = io.StringIO()
    call_command("dead_letters", "replay", "--tenant", office.tenant.slug, "--limit", "1", stdout=out)
    assert out.getvalue().splitlines() == [first.public_id, "1 retried, 0 refused"]
    assert [office.execution(run).status for run in (first, second)] == ["started", "failed"]
