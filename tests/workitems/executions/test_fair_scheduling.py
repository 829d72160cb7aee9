"""Fair scheduling: quotas, priorities, queues, limits of integrations and their circuit breakers."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from integrations.executions.dispatch import dispatch, dispatch_waiting
from integrations.executions.lease import acquire_lease
from integrations.models import Attempt, Execution, IntegrationGauge
from tests.jobs import lose_all_jobs, run_jobs, waiting_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import BANK, Office, open_office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.tenancy.models import Tenant
from workitems import sweeps
from workitems.executions.operator_actions import retry_execution
from workitems.executions.run_execution import run_execution


def queued_runs() -> list[tuple[str, int, str]]:
    """Return queue, priority and execution of each queued run, in the order in which they are taken."""
    runs = [job for job in waiting_jobs() if job.task == "workitems.run_execution"]
    return [
        (job.queue, job.priority, job.arguments["execution_id"]) for job in sorted(runs, key=lambda job: -job.priority)
    ]


def started(office: Office, count: int) -> list[Execution]:
    return [office.execute(office.decided()).execution for _ in range(count)]


def gauge(office: Office) -> IntegrationGauge:
    with unit_of_work(office.tenant.id):
        return IntegrationGauge.objects.get()


def set_gauge(office: Office, **columns: Any) -> None:
    with unit_of_work(office.tenant.id):
        IntegrationGauge.objects.update(**columns)


def dispatched(office: Office) -> int:
    with unit_of_work(office.tenant.id):
        return dispatch_waiting(office.tenant.id, now=clock.now())


@pytest.fixture
def small_quota(settings: Settings) -> None:
    settings.THREADA_TENANT_QUOTA = 3


def test_first_execution_of_a_tenant_goes_ahead_and_its_quota_is_bounded(
    office: Office, other_tenant: Tenant, small_quota: None
) -> None:
    runs = started(office, 5)
    other = open_office(other_tenant)
    (single,) = started(other, 1)
    assert queued_runs() == [
        ("first", 0, str(runs[0].id)),
        ("first", 0, str(single.id)),
        ("executions", -1, str(runs[1].id)),
        ("executions", -2, str(runs[2].id)),
    ]
    assert [office.execution(run).dispatched_at is None for run in runs] == [False, False, False, True, True]


def test_waiting_execution_is_dispatched_as_others_end(office: Office, bank: Receiver, small_quota: None) -> None:
    runs = started(office, 5)
    run_execution(office.tenant, runs[1].id)
    assert [execution_id for *_, execution_id in queued_runs()] == [str(run.id) for run in runs[:4]]
    run_jobs()
    assert {office.execution(run).status for run in runs} == {"succeeded"}
    assert len(bank.requests()) == 5


def test_sweep_dispatches_waiting_executions_of_all_tenants(
    office: Office, other_tenant: Tenant, small_quota: None
) -> None:
    other = open_office(other_tenant)
    first, second = started(office, 2), started(other, 2)
    lose_all_jobs()
    for each, runs in ((office, first), (other, second)):
        for run in runs:
            each.set_execution(run, dispatched_at=None)
    assert sweeps.dispatch_all_waiting(now=clock.now()) == 4
    assert sorted(queued_runs()) == sorted(
        [
            *(("first", 0, str(run.id)) for run in (first[0], second[0])),
            *(("executions", -1, str(run.id)) for run in (first[1], second[1])),
        ]
    )
    assert sweeps.dispatch_all_waiting(now=clock.now()) == 0


def test_a_later_try_takes_no_place_of_one_that_is_due(office: Office, bank: Receiver, small_quota: None) -> None:
    bank.behave(status=429, headers={"Retry-After": "60"})
    runs = started(office, 6)
    for run in runs:
        run_execution(office.tenant, run.id)
    assert {office.execution(run).status for run in runs} == {"started"}
    soon = clock.now() + timedelta(seconds=30)
    assert sum(job.run_at is not None and job.run_at > soon for job in waiting_jobs()) == 6
    (more,) = started(office, 1)
    assert office.execution(more).dispatched_at is not None


def test_dispatching_twice_enqueues_a_started_execution_only(office: Office) -> None:
    _, _, waiting = office.awaiting()
    with unit_of_work(office.tenant.id):
        dispatch(office.tenant.id, waiting.id)
    assert queued_runs() == []


def test_waiting_executions_of_another_tenant_are_not_dispatched(office: Office, other_tenant: Tenant) -> None:
    (run,) = started(office, 1)
    office.set_execution(run, dispatched_at=None)
    with unit_of_work(other_tenant.id):
        assert dispatch_waiting(office.tenant.id, now=clock.now()) == 0
        dispatch(office.tenant.id, run.id)
    assert office.execution(run).dispatched_at is None


# Limits


def test_no_more_run_side_by_side_than_allowed(office: Office, bank: Receiver) -> None:
    office.put_bank(base_url=bank.url, limits={"concurrency": 1})
    first, second, third = started(office, 3)
    with unit_of_work(office.tenant.id):
        acquire_lease(Execution.objects.select_for_update().get(id=first.id), now=clock.now())
    run_execution(office.tenant, second.id)
    shown = office.execution(second)
    assert (shown.status, shown.waits_for, shown.attempts_made, shown.dispatched_at) == (
        "started",
        "concurrency",
        0,
        None,
    )
    assert (office.count(Attempt), bank.requests()) == (1, [])
    assert gauge(office).waits_for == "concurrency"
    assert dispatched(office) == 0
    office.set_execution(first, status="outcome_unknown", lease_until=None)
    office.set_execution(third, dispatched_at=None)
    set_gauge(office, waits_until=clock.now())
    assert dispatched(office) == 1  # one slot is free, so one execution is dispatched
    run_jobs()
    assert {office.execution(run).status for run in (second, third)} == {"succeeded"}
    assert len(bank.requests()) == 2


def test_no_more_begin_in_a_window_than_allowed(office: Office, bank: Receiver) -> None:
    office.put_bank(base_url=bank.url, limits={"rate": {"calls": 2, "per": "PT1H"}})
    runs = started(office, 4)
    run_jobs()
    assert [office.execution(run).status for run in runs] == ["succeeded", "succeeded", "started", "started"]
    assert [office.execution(run).waits_for for run in runs] == ["", "", "rate", "rate"]
    shown = gauge(office)
    assert (shown.waits_for, shown.rate_calls, len(shown.recent_calls)) == ("rate", 2, 2)
    assert shown.waits_until == min(shown.recent_calls) + timedelta(hours=1)
    assert dispatched(office) == 0
    an_hour_ago = [at - timedelta(hours=1) for at in shown.recent_calls]
    set_gauge(office, recent_calls=an_hour_ago, waits_until=clock.now())
    assert dispatched(office) == 2
    run_jobs()
    assert {office.execution(run).status for run in runs} == {"succeeded"}


def test_limits_that_are_taken_away_bind_no_longer(office: Office, bank: Receiver) -> None:
    office.put_bank(base_url=bank.url, limits={"rate": {"calls": 1, "per": "PT1H"}})
    runs = started(office, 3)
    run_jobs()
    office.put_bank(base_url=bank.url)
    set_gauge(office, waits_until=clock.now())
    dispatched(office)
    run_jobs()
    assert {office.execution(run).status for run in runs} == {"succeeded"}
    assert (gauge(office).rate_calls, gauge(office).waits_until) == (None, None)


@pytest.mark.django_db(transaction=True)
def test_limits_hold_between_workers(office: Office, bank: Receiver) -> None:
    """Twelve at once, by twelve threads that share nothing but the database."""
    office.put_bank(base_url=bank.url, limits={"concurrency": 3})
    bank.behave(delay_s=0.7)
    runs = started(office, 12)
    threads = [threading.Thread(target=_run, args=(office, run)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(bank.requests()) == 3
    statuses = [office.execution(run).status for run in runs]
    assert (statuses.count("succeeded"), statuses.count("started")) == (3, 9)
    office.put_bank(base_url=bank.url, limits={"rate": {"calls": 4, "per": "PT1H"}})
    bank.behave()
    threads = [threading.Thread(target=_run, args=(office, run)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(bank.requests()) == 7


def _run(office: Office, execution: Execution) -> None:
    try:
        run_execution(office.tenant, execution.id)
    finally:
        connection.close()


# The breaker


@pytest.fixture
def ill(office: Office, bank: Receiver) -> Office:
    """Open the breaker of the bank by two failures."""
    pay = {**BANK["actions"]["pay"], "retry": {"attempts": 1}}
    office.put_bank(base_url=bank.url, actions={"pay": pay}, breaker={"failures": 2, "rest": "PT1M"})
    bank.behave(status=503)
    for run in started(office, 2):
        run_execution(office.tenant, run.id)
    bank.behave()
    return office


def test_breaker_opens_after_failures_in_a_row(ill: Office, bank: Receiver) -> None:
    shown = gauge(ill)
    assert (shown.failures, shown.waits_for) == (2, "breaker")
    assert shown.open_until is not None
    assert timedelta(seconds=55) < shown.open_until - clock.now() <= timedelta(minutes=1)
    (receipt,) = ill.bodies("integration.breaker_opened")
    assert receipt["subject"] == {"integration_id": "bank"}
    assert receipt["outcome"] == {"failures": 2, "failure": "bad_response", "rest_s": 60.0}
    (run,) = started(ill, 1)
    run_jobs()
    waiting = ill.execution(run)
    assert (waiting.status, waiting.waits_for, waiting.attempts_made) == ("started", "breaker", 0)
    assert len(bank.requests()) == 2


def test_one_probe_call_closes_the_breaker(ill: Office, bank: Receiver) -> None:
    runs = started(ill, 3)
    run_jobs()
    set_gauge(ill, open_until=clock.now(), waits_until=clock.now())
    assert dispatched(ill) == 1
    with unit_of_work(ill.tenant.id):
        from integrations.limits.gauges import admit

        probe = Execution.objects.select_for_update().get(id=runs[0].id)
        assert admit(probe, now=clock.now()) is None
        acquire_lease(probe, now=clock.now())
        wait = admit(Execution.objects.select_for_update().get(id=runs[1].id), now=clock.now())
        assert wait is not None
        assert wait.because == "breaker"
    ill.set_execution(runs[0], status="started", lease_until=None, dispatched_at=None)
    set_gauge(ill, waits_until=clock.now())
    dispatched(ill)
    run_jobs()
    assert {ill.execution(run).status for run in runs} == {"succeeded"}
    shown = gauge(ill)
    assert (shown.failures, shown.opened_at, shown.open_until, shown.probe_id) == (0, None, None, None)
    assert len(ill.bodies("integration.breaker_closed")) == 1


def test_a_failed_probe_keeps_the_breaker_open(ill: Office, bank: Receiver) -> None:
    bank.behave(status=503)
    runs = started(ill, 2)
    set_gauge(ill, open_until=clock.now(), waits_until=clock.now())
    run_jobs()
    assert sorted(ill.execution(run).status for run in runs) == ["outcome_unknown", "started"]
    shown = gauge(ill)
    assert shown.open_until is not None
    assert shown.open_until > clock.now() + timedelta(seconds=50)
    assert len(ill.bodies("integration.breaker_opened")) == 1
    assert len(bank.requests()) == 3


def test_a_refusal_says_that_the_receiver_is_well(ill: Office, bank: Receiver) -> None:
    bank.behave(status=422)
    (run,) = started(ill, 1)
    set_gauge(ill, open_until=clock.now(), waits_until=clock.now())
    run_jobs()
    assert ill.execution(run).status == "failed"
    assert gauge(ill).opened_at is None
    bank.behave()
    ill.on_execution(run, retry_execution)
    run_jobs()
    assert ill.execution(run).status == "succeeded"


def test_a_success_in_between_resets_the_count(office: Office, bank: Receiver) -> None:
    pay = {**BANK["actions"]["pay"], "retry": {"attempts": 1}}
    office.put_bank(base_url=bank.url, actions={"pay": pay}, breaker={"failures": 2})
    for status in (503, 200, 503):
        bank.behave(status=status)
        (run,) = started(office, 1)
        run_execution(office.tenant, run.id)
    assert (gauge(office).failures, gauge(office).opened_at) == (1, None)
