"""Lease, re-check, call, settle: with a receiver in its own process, and with workers that die or come late."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from integrations.executions import lease as execution_lease
from integrations.models import Attempt, Execution
from tests.jobs import queued_jobs, run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import BANK, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from workitems.executions import lease_renewal
from workitems.executions.run_execution import run_execution
from workitems.sweeps import enqueue_due_executions


def attempts(office: Office, execution: Execution) -> list[Attempt]:
    with unit_of_work(office.tenant.id):
        return list(Attempt.objects.filter(execution=execution).order_by("number"))


def started(office: Office, **more: Any) -> Execution:
    return office.execute(office.decided(), **more).execution


def test_it_is_sent_once_however_often_it_is_run(office: Office, bank: Receiver) -> None:
    execution = started(office)
    for _ in range(3):
        run_execution(office.tenant, execution.id)
    (call,) = bank.requests()
    assert call["body"] == '{"amount":5}'
    assert call["headers"]["idempotency-key"] == execution.public_id
    assert call["headers"]["user-agent"].startswith("Threada/")
    (attempt,) = attempts(office, execution)
    assert (attempt.number, attempt.outcome, attempt.ambiguous, attempt.failure) == (1, "succeeded", False, "")
    assert attempt.finished_at is not None
    done = office.execution(execution)
    assert (done.status, done.lease_until, done.next_try_at) == ("succeeded", None, None)
    assert done.finished_at is not None


def test_a_foreign_or_unknown_execution_is_left_alone(office: Office, bank: Receiver, other_tenant: Any) -> None:
    execution = started(office)
    run_execution(other_tenant, execution.id)
    assert (office.execution(execution).status, bank.requests()) == ("started", [])


def test_an_execution_that_is_not_due_does_not_run(office: Office, bank: Receiver) -> None:
    execution = started(office)
    office.set_execution(execution, next_try_at=clock.now() + timedelta(seconds=60))
    run_execution(office.tenant, execution.id)
    assert (office.execution(execution).status, bank.requests()) == ("started", [])


@pytest.mark.parametrize("status", ["awaiting_approval", "rejected", "expired", "cancelled", "outcome_unknown"])
def test_only_a_started_one_runs(office: Office, bank: Receiver, status: str) -> None:
    execution = started(office)
    office.set_execution(execution, status=status)
    run_execution(office.tenant, execution.id)
    assert (office.execution(execution).status, bank.requests()) == (status, [])


def test_a_run_leaves_its_receipts(office: Office, bank: Receiver) -> None:
    execution = started(office)
    run_jobs()
    (sent,) = office.bodies("execution.executed")
    assert sent["inputs"] == {"envelope_sha256": office.execution(execution).envelope.sha256, "attempt": 1}
    assert sent["outcome"] == {"status": "running"}
    (done,) = office.bodies("execution.succeeded")
    assert done["outcome"] == {"status": "succeeded", "work_item_status": "resolved"}


def test_a_rejection_after_an_ambiguous_attempt_leaves_the_outcome_unknown(office: Office, bank: Receiver) -> None:
    """The first attempt may have acted, so the answer to the second says nothing about the effect."""
    bank.behave(status=500)
    execution = started(office)
    run_execution(office.tenant, execution.id)
    assert office.execution(execution).status == "started"
    bank.behave(status=400)
    office.set_execution(execution, next_try_at=clock.now())
    run_execution(office.tenant, execution.id)
    assert [attempt.ambiguous for attempt in attempts(office, execution)] == [True, False]
    assert office.execution(execution).status == "outcome_unknown"


def test_another_envelope_is_not_sent(office: Office, bank: Receiver) -> None:
    """Somebody with the database in hand points the execution at another envelope."""
    first, second = started(office), started(office)
    office.set_execution(first, envelope_id=second.envelope_id)
    run_execution(office.tenant, first.id)
    shown = office.execution(first)
    assert (shown.status, shown.failure) == ("failed", "envelope_mismatch")
    assert bank.requests() == []


def test_a_payload_changed_behind_the_envelope_is_not_sent(office: Office, bank: Receiver) -> None:
    from workitems.models import WorkItem

    execution = started(office)
    with unit_of_work(office.tenant.id):
        WorkItem.objects.filter(id=execution.work_item_id).update(payload_sha256="0" * 64)
    run_execution(office.tenant, execution.id)
    assert office.execution(execution).failure == "envelope_mismatch"
    assert bank.requests() == []


def test_an_idempotent_action_is_retried_after_a_lost_worker(office: Office, bank: Receiver) -> None:
    execution = started(office)
    with unit_of_work(office.tenant.id):
        locked = Execution.objects.select_for_update().get(id=execution.id)
        execution_lease.acquire_lease(locked, now=clock.now() - timedelta(seconds=31))
    assert enqueue_due_executions(now=clock.now()) == 1
    assert queued_jobs()[-1][0] == "workitems.run_execution"
    run_execution(office.tenant, execution.id)
    shown = office.execution(execution)
    assert (shown.status, shown.failure, shown.worker_deaths) == ("started", "worker_lost", 1)
    office.set_execution(execution, next_try_at=None)
    run_execution(office.tenant, execution.id)
    assert office.execution(execution).status == "succeeded"
    assert [(row.outcome, row.failure, row.ambiguous) for row in attempts(office, execution)] == [
        ("failed", "worker_lost", True),
        ("succeeded", "", False),
    ]
    assert len(bank.requests()) == 1


def test_other_actions_end_as_outcome_unknown_after_a_lost_worker(office: Office, bank: Receiver) -> None:
    office.put_bank(base_url=bank.url, idempotent=False)
    execution = started(office)
    with unit_of_work(office.tenant.id):
        execution_lease.acquire_lease(
            Execution.objects.select_for_update().get(id=execution.id), now=clock.now() - timedelta(minutes=1)
        )
    run_execution(office.tenant, execution.id)
    assert office.execution(execution).status == "outcome_unknown"
    run_jobs(ahead_of_time=True)
    assert bank.requests() == []


def test_ten_lost_workers_are_enough(office: Office, bank: Receiver) -> None:
    execution = started(office)
    for deaths in range(1, 11):
        with unit_of_work(office.tenant.id):
            locked = Execution.objects.select_for_update().get(id=execution.id)
            execution_lease.acquire_lease(locked, now=clock.now() - timedelta(minutes=1))
        run_execution(office.tenant, execution.id)
        assert office.execution(execution).worker_deaths == deaths
        office.set_execution(execution, next_try_at=clock.now() - timedelta(seconds=1))
    shown = office.execution(execution)
    assert (shown.status, shown.failure) == ("failed", "worker_lost")
    assert bank.requests() == []


def test_a_live_lease_is_respected(office: Office, bank: Receiver) -> None:
    execution = started(office)
    with unit_of_work(office.tenant.id):
        execution_lease.acquire_lease(Execution.objects.select_for_update().get(id=execution.id), now=clock.now())
    run_execution(office.tenant, execution.id)
    assert office.execution(execution).status == "running"
    assert bank.requests() == []
    assert enqueue_due_executions(now=clock.now()) == 0


@pytest.mark.django_db(transaction=True)
def test_the_lease_is_renewed_while_the_receiver_thinks(
    office: Office, bank: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_renewal, "RENEW_EVERY", timedelta(seconds=0.1))
    monkeypatch.setattr(execution_lease, "LEASE_DURATION", timedelta(seconds=0.5))
    bank.behave(delay_s=1.5)
    execution = started(office)
    before = {thread.name for thread in threading.enumerate()}
    worker = threading.Thread(target=_run_and_close, args=(office, execution))
    worker.start()
    bank.wait_for(1)
    seen = set()
    for _ in range(8):
        row = office.execution(execution)
        seen.add(row.lease_until)
        assert not execution_lease.is_abandoned(row, now=clock.now())
        time.sleep(0.1)
    worker.join(10)
    assert len(seen) > 3
    assert office.execution(execution).status == "succeeded"
    assert {thread.name for thread in threading.enumerate()} - before <= {"leases", "idle connections"}
    assert office.execution(execution).lease_until is None


@pytest.mark.django_db(transaction=True)
def test_a_locked_row_keeps_no_other_lease_from_being_renewed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_renewal, "RENEW_EVERY", timedelta(seconds=0.1))
    first, second = started(office), started(office)
    with unit_of_work(office.tenant.id):
        locked, free = (
            execution_lease.acquire_lease(Execution.objects.select_for_update().get(id=each.id), now=clock.now())
            for each in (first, second)
        )
    was = office.execution(second).lease_until
    with lease_renewal.renewed_lease(office.tenant, locked), lease_renewal.renewed_lease(office.tenant, free):
        with unit_of_work(office.tenant.id):
            Execution.objects.select_for_update().get(id=first.id)
            time.sleep(1.8)
            assert Execution.objects.get(id=second.id).lease_until > was
        time.sleep(1.5)
    assert office.execution(first).lease_until > was


def _run_and_close(office: Office, execution: Execution) -> None:
    from django.db import connection

    try:
        run_execution(office.tenant, execution.id)
    finally:
        connection.close()


def test_the_shape_of_a_failure_is_kept(office: Office, bank: Receiver) -> None:
    bank.behave(status=429, headers={"Retry-After": "120"})
    execution = started(office)
    run_execution(office.tenant, execution.id)
    shown = office.execution(execution)
    assert (shown.status, shown.failure) == ("started", "receiver_rate_limited")
    assert shown.next_try_at is not None
    assert shown.next_try_at > clock.now() + timedelta(seconds=110)
    (body,) = office.bodies("execution.postponed")
    assert body["outcome"] == {
        "status": "started",
        "work_item_status": "executing",
        "failure": "receiver_rate_limited",
        "reason_codes": ["receiver_rate_limited"],
    }


def test_one_attempt_is_all_when_the_action_says_so(office: Office, bank: Receiver) -> None:
    actions = {"pay": {**BANK["actions"]["pay"], "retry": {"attempts": 1}}}
    office.put_bank(base_url=bank.url, actions=actions)
    bank.stop()
    execution = started(office)
    run_jobs()
    shown = office.execution(execution)
    assert (shown.status, shown.failure, shown.attempts_made) == ("failed", "connection_refused", 1)
    assert office.bodies("execution.failed")[0]["outcome"]["work_item_status"] == "failed"


def test_secrets_appear_in_no_row_receipt_or_log(
    office: Office, bank: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFICE_SECRET", "hush-hush")
    office.put_bank(base_url=bank.url, auth={"scheme": "bearer", "secret": {"env": "OFFICE_SECRET"}})
    bank.behave(body={"echo": "hush-hush"})
    execution = started(office)
    run_jobs()
    assert bank.requests()[0]["headers"]["authorization"] == "Bearer hush-hush"
    shown = office.execution(execution)
    assert "hush-hush" not in str(shown.result)
    assert "[redacted]" in str(shown.result)
    assert b"hush-hush" not in bytes(shown.envelope.body)


def test_what_comes_to_its_turn_after_the_deadline_is_not_tried(office: Office, bank: Receiver) -> None:
    office.put_bank(base_url=bank.url, retry={"deadline": "PT1M"})
    bank.behave(status=429, headers={"Retry-After": "10"})
    execution = started(office)
    run_execution(office.tenant, execution.id)
    assert office.execution(execution).tries_began_at is not None
    earlier = clock.now() - timedelta(seconds=61)
    office.set_execution(execution, next_try_at=None, tries_began_at=earlier)
    run_execution(office.tenant, execution.id)
    shown = office.execution(execution)
    assert (shown.status, shown.failure) == ("failed", "deadline_passed")
    assert len(bank.requests()) == 1
