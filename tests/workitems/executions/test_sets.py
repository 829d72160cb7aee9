"""Sets of executions: claimed, called and settled together."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from integrations.attempts.outcomes import Outcome
from integrations.executions.dispatch import RUN_EXECUTION
from integrations.executions.lease import acquire_lease
from integrations.models import Attempt, Execution
from tests.jobs import lose_all_jobs, waiting_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.executions.test_freezes import freeze, lift
from tests.workitems.office import RULES, Office
from threada_site.database.batched_writes import batched_writes, insert_rows, update_row
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.principals import remove_member
from threada_site.jobs.registry import run_task
from threada_site.kernel import clock
from workitems.executions.run_execution import run_execution
from workitems.executions.running import claim_set as claiming
from workitems.executions.running import lanes
from workitems.executions.running import run_set as running
from workitems.executions.running import settle_set as settling
from workitems.executions.running.call_slots import call_slots
from workitems.executions.running.run_set import run_set
from workitems.executions.running.settle_set import Arrived
from workitems.models import WorkItem

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "WINDOW_S", 1.0)
    monkeypatch.setattr(running, "LONGEST_WINDOW_S", 1.0)
    monkeypatch.setattr(running, "CHECK_HOLDS_S", 60.0)
    monkeypatch.setattr(running, "SLOTS_WITHIN_S", 5.0)


def started(office: Office, count: int) -> list[Execution]:
    return [office.execute(office.decided()).execution for _ in range(count)]


def statuses(office: Office, runs: list[Execution]) -> list[str]:
    return [office.execution(run).status for run in runs]


def receipts(office: Office, run: Execution) -> list[tuple[Any, ...]]:
    """Return what the receipts of a run say, without ids, times and digests."""
    kinds = ("policy.rechecked", "execution.executed", "execution.succeeded")
    bodies = [body for kind in kinds for body in office.bodies(kind)]
    mine = [body for body in bodies if body["subject"]["execution_id"] == run.public_id]
    assert [body["kind"] for body in mine] == list(kinds)
    return [
        (body["actor"], body["outcome"], body.get("policy"), sorted(body), sorted(body.get("inputs", ())))
        for body in mine
    ]


def test_a_set_takes_few_statements_and_leaves_what_single_runs_leave(office: Office, bank: Receiver) -> None:
    alone, *runs = started(office, 9)
    run_execution(office.tenant, alone.id)
    with CaptureQueriesContext(connection) as queries:
        run_set(office.tenant, runs[3].id)
    assert len(queries) <= 29  # with the three of a job less than four for each
    assert [job.arguments["execution_id"] for job in waiting_jobs() if job.task == RUN_EXECUTION] == [str(alone.id)]
    assert set(statuses(office, runs)) == {"succeeded"}
    assert len(bank.requests()) == 9
    assert len({entry["headers"]["idempotency-key"] for entry in bank.requests()}) == 9
    expected = receipts(office, alone)
    assert all(receipts(office, run) == expected for run in runs)
    with unit_of_work(office.tenant.id):
        rows = [
            [getattr(each, name) for name in ("number", "fencing_token", "outcome", "failure", "ambiguous")]
            for each in Attempt.objects.all()
        ]
    assert rows == [[1, 1, "succeeded", "", False]] * 9
    assert {office.item_of(run).status for run in runs} == {office.item_of(alone).status}
    assert call_slots.take(1000) == 32
    call_slots.give_back(32)
    run_set(office.tenant, runs[0].id)
    assert len(bank.requests()) == 9


def test_members_that_are_not_ordinary_do_not_affect_the_others(office: Office, bank: Receiver) -> None:
    changed, lost, *runs = started(office, 6)
    with unit_of_work(office.tenant.id):
        WorkItem.objects.filter(id=changed.work_item_id).update(payload={"amount": 6})
    office.set_execution(lost, worker_deaths=1)
    run_set(office.tenant, runs[0].id)
    assert statuses(office, [changed, lost, *runs]) == ["failed", "started", *["succeeded"] * 4]
    assert len(bank.requests()) == 4
    run_set(office.tenant, lost.id)
    assert office.execution(lost).status == "succeeded"


def test_what_a_single_run_would_refuse_is_not_called_in_a_set(office: Office, bank: Receiver) -> None:
    late, denied = (office.execute(office.decided(amount)).execution for amount in (6, 7))
    unapproved = office.awaiting(500)
    for voter in ("fay", "finn"):
        office.vote(unapproved[1], voter)
    runs = started(office, 3)
    office.set_execution(late, tries_began_at=clock.now() - timedelta(days=1, seconds=1))
    office.put_rules({"id": "late", "when": "item.payload.amount == 7", "effect": "deny", "reason": "LATE"}, *RULES)
    with unit_of_work(office.tenant.id):
        remove_member(office.people["finn"], ctx=office.system)
    refused = [late, denied, unapproved[2]]
    assert statuses(office, refused) == ["started"] * 3
    run_set(office.tenant, runs[0].id)
    assert statuses(office, runs) == ["succeeded"] * 3
    assert [entry["body"] for entry in bank.requests()] == ['{"amount":5}'] * 3
    assert [(run.status, run.failure) for run in map(office.execution, refused)] == [
        ("failed", "deadline_passed"),
        ("failed", "policy_denied"),
        ("awaiting_approval", ""),
    ]


@pytest.mark.parametrize(("is_idempotent", "status"), [(True, "running"), (False, "outcome_unknown")])
def test_a_late_outcome_of_a_member_that_lost_its_lease_is_ignored(
    office: Office, bank: Receiver, is_idempotent: bool, status: str
) -> None:
    office.put_bank(base_url=bank.url, idempotent=is_idempotent)
    runs = started(office, 2)
    claimed = claiming.claim_set(office.tenant, runs[0].id, take=lambda wanted: wanted, members=[])
    assert [plan.execution_id for plan in claimed.plans] == [run.id for run in runs]
    office.set_execution(runs[0], lease_until=clock.now() - timedelta(seconds=1))
    run_execution(office.tenant, runs[0].id)
    if is_idempotent:
        with unit_of_work(office.tenant.id):
            acquire_lease(Execution.objects.select_for_update().get(id=runs[0].id), now=clock.now())
    assert statuses(office, runs) == [status, "running"]
    assert settling.settle_set(office.tenant, [Arrived(plan, Outcome()) for plan in claimed.plans]) == []
    assert statuses(office, runs) == [status, "succeeded"]
    assert [body["subject"]["execution_id"] for body in office.bodies("execution.succeeded")] == [runs[1].public_id]
    with unit_of_work(office.tenant.id):
        outcomes = Attempt.objects.order_by("execution_id", "number").values_list("outcome", flat=True)
        assert list(outcomes) == ["failed", *([""] if is_idempotent else []), "succeeded"]


def test_a_freeze_and_the_limits_stop_every_member(office: Office, bank: Receiver) -> None:
    runs = started(office, 4)
    row = freeze(office)
    for run in runs:
        run_set(office.tenant, run.id)
    assert statuses(office, runs) == ["started"] * 4
    assert len(office.bodies("execution.held")) == 4
    assert bank.requests() == []
    office.put_bank(base_url=bank.url, limits={"rate": {"calls": 2, "per": "PT1H"}})
    lift(office, row)
    more = started(office, 3)
    for run in [*runs, *more]:
        run_set(office.tenant, run.id)
    assert len(bank.requests()) == 2
    assert sorted(statuses(office, [*runs, *more])).count("succeeded") == 2


def test_a_check_that_is_too_old_is_made_again(office: Office, bank: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    office.put_bank(base_url=bank.url, retry={"attempts": 2})
    runs = started(office, 3)
    with monkeypatch.context() as late:
        late.setattr(running, "CHECK_HOLDS_S", -1)
        run_set(office.tenant, runs[0].id)
    assert bank.requests() == []
    assert statuses(office, runs) == ["started"] * 3
    assert {office.execution(run).failure for run in runs} == {"worker_lost"}
    bank.behave(times=3, status=503)
    for run in runs:  # alone; the attempt whose call did not start is not one of the two
        office.set_execution(run, next_try_at=None)
        run_set(office.tenant, run.id)
    assert statuses(office, runs) == ["started"] * 3
    for run in runs:
        office.set_execution(run, next_try_at=None)
        run_set(office.tenant, run.id)
    assert set(statuses(office, runs)) == {"succeeded"}


def test_no_more_are_claimed_than_slots_are_free(
    office: Office, bank: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.THREADA_CALL_SLOTS = 3
    runs = started(office, 7)
    run_set(office.tenant, runs[0].id)
    assert statuses(office, runs).count("succeeded") == 3
    own = lanes.Place(lanes.Receiver(office.tenant.id, "bank"))
    taken = call_slots.take(3) - 1
    call_slots.begin([own])
    monkeypatch.setattr(running, "SLOTS_WITHIN_S", 0.0)
    run_set(office.tenant, runs[-1].id)  # no slot is free, and the tenant has a call: it stays due
    assert statuses(office, runs).count("succeeded") == 3
    with CaptureQueriesContext(connection) as queries:
        run_set(office.tenant, runs[-1].id)
    assert len(queries) == 0
    call_slots.give_back(taken)
    call_slots.end(own)
    run_set(office.tenant, runs[-1].id)
    assert statuses(office, runs).count("succeeded") == 6
    assert office.execution(runs[-1]).status == "succeeded"


def test_a_set_that_cannot_be_settled_is_split_without_another_call(
    office: Office, bank: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = started(office, 5)
    settle, tried = settling.settle, list[int]()

    def fails_once(item: WorkItem, execution: Execution, *rest: Any, **more: Any) -> None:
        settle(item, execution, *rest, **more)
        if execution.id == runs[2].id:
            tried.append(1)
            raise RuntimeError("This row cannot be settled in a set.")

    monkeypatch.setattr(settling, "settle", fails_once)
    run_set(office.tenant, runs[0].id)
    assert set(statuses(office, runs)) == {"succeeded"}  # the culprit was settled alone
    assert len(tried) > 1
    assert len(bank.requests()) == 5
    assert len(office.bodies("execution.succeeded")) == 5


def test_an_execution_that_cannot_be_claimed_in_a_set_is_isolated(
    office: Office, bank: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = started(office, 6)
    lease, tried = claiming.lease_and_record, list[str]()

    def fails(item: WorkItem, execution: Execution, *rest: Any, **more: Any) -> Any:
        tried.append(execution.public_id)
        if execution.id == runs[2].id:
            raise RuntimeError("This row cannot be claimed in a set.")
        return lease(item, execution, *rest, **more)

    monkeypatch.setattr(claiming, "lease_and_record", fails)
    run_set(office.tenant, runs[0].id)
    assert set(statuses(office, runs)) == {"succeeded"}
    assert tried.count(runs[2].public_id) == 4  # among six, three, two, and alone
    assert len(bank.requests()) == 6
    assert call_slots.take(1000) == 32
    call_slots.give_back(32)


def test_after_a_failure_calls_are_made_one_by_one_until_one_succeeds(office: Office, bank: Receiver) -> None:
    runs = started(office, 4)
    bank.behave(status=503, times=1)
    run_execution(office.tenant, runs[0].id)
    run_set(office.tenant, runs[1].id)
    assert statuses(office, runs) == ["started", "succeeded", "started", "started"]
    run_set(office.tenant, runs[2].id)
    assert statuses(office, runs[1:]) == ["succeeded"] * 3


def test_calls_are_made_once_if_no_thread_can_be_started(
    office: Office, bank: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def submit(self, *_call: Any) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(call_slots, "_threads", Full())
    runs = started(office, 3)
    run_set(office.tenant, runs[0].id)
    assert set(statuses(office, runs)) == {"succeeded"}
    assert len(bank.requests()) == 3


def test_rows_of_a_set_keep_quotes_nulls_and_arrays(office: Office) -> None:
    texts = ["", "plain", "a 'quoted' \"text\"", "back\\slash, {brace}", "NULL", "line\nend", "ünïcode €"]
    runs = started(office, len(texts))
    with unit_of_work(office.tenant.id):
        items = {item.id: item for item in WorkItem.objects.all()}
        with batched_writes(as_sets=True):
            for run, text in zip(runs, texts, strict=True):
                run.failure_detail = text
                run.result = None if not text else {"text": text, "list": [None, 1, text]}
                items[run.work_item_id].risk_flags = [text, "x", text] if text else []
                update_row(run, "failure_detail", "result")
                update_row(items[run.work_item_id], "risk_flags")
                insert_rows(
                    Attempt(
                        tenant_id=office.tenant.id,
                        execution=run,
                        number=1,
                        fencing_token=2**40,
                        started_at=clock.now(),
                        finished_at=clock.now() if text == "plain" else None,
                        response={"text": text} if text else None,
                    )
                )
        for run, text in zip(runs, texts, strict=True):
            found, attempt = Execution.objects.get(id=run.id), Attempt.objects.get(execution=run)
            assert (found.failure_detail, found.result) == (text, run.result)
            assert WorkItem.objects.get(id=run.work_item_id).risk_flags == ([text, "x", text] if text else [])
            assert attempt.response == ({"text": text} if text else None)
            assert (attempt.fencing_token, attempt.finished_at is not None) == (2**40, text == "plain")


def test_a_locked_item_delays_no_other_settlement(office: Office, bank: Receiver) -> None:
    bank.behave(delay_s=0.5)
    runs = started(office, 4)
    worker = threading.Thread(target=_run, args=(office, runs[0]))
    worker.start()
    bank.wait_for(4)
    with unit_of_work(office.tenant.id):
        WorkItem.objects.select_for_update().get(id=runs[1].work_item_id)
        _until(lambda: statuses(office, [runs[0], *runs[2:]]) == ["succeeded"] * 3)
        assert office.execution(runs[1]).status == "running"
    worker.join(20)
    assert set(statuses(office, runs)) == {"succeeded"}
    assert len(bank.requests()) == 4


def test_a_job_whose_execution_is_called_for_in_a_set_does_nothing(office: Office, bank: Receiver) -> None:
    runs = started(office, 2)
    job = {"tenant_id": str(office.tenant.id), "execution_id": str(runs[1].id)}
    call_slots.note_claimed([runs[1].id])
    try:
        with CaptureQueriesContext(connection) as queries:
            run_task(RUN_EXECUTION, job)
    finally:
        call_slots.note_called(runs[1].id)
    assert len(queries) == 0
    assert statuses(office, runs) == ["started"] * 2
    run_task(RUN_EXECUTION, job)
    assert statuses(office, runs) == ["succeeded"] * 2
    assert not any(call_slots.has_claimed(run.id) for run in runs)


def test_a_job_waits_for_slots_of_calls_that_end_soon(office: Office, bank: Receiver, settings: Settings) -> None:
    settings.THREADA_CALL_SLOTS = 4
    runs = started(office, 3)
    taken = call_slots.take(4)
    threading.Timer(0.03, call_slots.give_back, args=(taken,)).start()
    run_set(office.tenant, runs[0].id)
    assert statuses(office, runs) == ["succeeded"] * 3


def test_other_tenants_are_left_alone(office: Office, other_tenant: Any, bank: Receiver) -> None:
    runs = started(office, 3)
    lose_all_jobs()
    run_set(other_tenant, runs[0].id)
    assert statuses(office, runs) == ["started"] * 3
    assert bank.requests() == []


def _until(is_so: Any) -> None:
    pause = threading.Event()
    for _ in range(400):
        if is_so():
            return
        pause.wait(0.05)
    raise AssertionError("It did not become so within 20 s.")


def _run(office: Office, run: Execution) -> None:
    try:
        run_set(office.tenant, run.id)
    finally:
        connection.close()
