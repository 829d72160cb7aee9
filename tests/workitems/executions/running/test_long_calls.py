"""Calls that have lasted a second, here some milliseconds: they keep neither a job nor, within their share, a slot."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from integrations.executions.dispatch import RUN_EXECUTION
from integrations.models import Execution
from tests.jobs import lose_all_jobs, waiting_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import BANK, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant
from workitems.executions.run_execution import begin_execution
from workitems.executions.running import run_set as running
from workitems.executions.running.call_slots import call_slots
from workitems.executions.running.lanes import Receiver as Receiving
from workitems.executions.running.run_set import run_set

pytestmark = pytest.mark.django_db(transaction=True)

SLOTS = 32
HANGS = {"delay_s": 3.0}


@pytest.fixture(autouse=True)
def _short_second(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.THREADA_CALL_SLOTS = SLOTS
    monkeypatch.setattr(running, "LONG_AFTER_S", 0.5)
    monkeypatch.setattr(running, "CHECK_HOLDS_S", 60.0)


def started(office: Office, count: int) -> list[Execution]:
    return [office.execute(office.decided()).execution for _ in range(count)]


def statuses(office: Office, runs: list[Execution]) -> list[str]:
    return [office.execution(run).status for run in runs]


def free_slots() -> int:
    free = call_slots.take(1000)
    call_slots.give_back(free)
    return free


def until(is_so: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(600):
        if is_so():
            return
        pause.wait(0.05)
    raise AssertionError("It did not happen.")


def jobs_of(run: Execution) -> int:
    return sum(job.task == RUN_EXECUTION and job.arguments["execution_id"] == str(run.id) for job in waiting_jobs())


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("answer", "end"), [({}, "succeeded"), ({"status": 400}, "failed")])
def test_a_job_ends_before_its_long_calls_which_are_settled_once(
    office: Office, bank: Receiver, count: int, answer: dict[str, Any], end: str
) -> None:
    bank.behave(**HANGS, **answer)
    runs = started(office, count)
    run_set(office.tenant, runs[0].id)
    assert statuses(office, runs) == ["running"] * count
    assert free_slots() == SLOTS
    until(lambda: statuses(office, runs) == [end] * count)
    assert len(bank.requests()) == count
    assert len(office.bodies(f"execution.{end}")) == count


def test_a_full_share_lets_no_further_call_begin_until_a_place_is_free(
    office: Office, other_tenant: Tenant, bank: Receiver
) -> None:
    bank.behave(**HANGS)
    runs = started(office, 6)
    run_set(office.tenant, runs[0].id)
    assert statuses(office, runs) == ["running"] * 6
    assert free_slots() == SLOTS - 2  # four are in the long lane
    waits, more = started(office, 2)
    lose_all_jobs()
    run_set(office.tenant, waits.id)
    assert statuses(office, [waits, more]) == ["started"] * 2
    row = office.execution(waits)
    assert (row.attempts_made, row.worker_deaths, row.next_try_at, row.dispatched_at is not None) == (0, 0, None, True)
    with CaptureQueriesContext(connection) as queries:
        run_set(office.tenant, waits.id)
    assert len(queries) == 0
    assert call_slots.has_room(Receiving(other_tenant.id, "bank"))
    assert waiting_jobs() == []
    bank.behave()
    until(lambda: statuses(office, runs) == ["succeeded"] * 6)
    until(lambda: jobs_of(waits) == 1)
    run_set(office.tenant, waits.id)
    assert statuses(office, [waits, more]) == ["succeeded"] * 2
    assert len(bank.requests()) == 8
    assert free_slots() == SLOTS


def test_another_integration_of_the_tenant_begins_and_its_set_leaves_out_the_full_one(
    office: Office, bank: Receiver
) -> None:
    bank.behave({"/slow": HANGS})
    slow = {**BANK["actions"]["pay"], "path": "/slow"}
    office.put_bank(base_url=bank.url, actions={"pay": slow})
    runs = started(office, 4)
    run_set(office.tenant, runs[0].id)
    waits = started(office, 2)
    office.put_bank(base_url=bank.url)  # the pinned version of the waiting ones stays the slow one
    run_set(office.tenant, waits[0].id)
    assert statuses(office, waits) == ["started"] * 2
    assert call_slots.full_integrations(office.tenant.id) == ["bank"]
    until(lambda: statuses(office, runs) == ["succeeded"] * 4)
    assert call_slots.full_integrations(office.tenant.id) == []


def test_executions_that_run_alone_have_places_too(office: Office, bank: Receiver) -> None:
    bank.behave(**HANGS)
    office.put_bank(base_url=bank.url, limits={"concurrency": 2})
    runs = started(office, 2)
    for run in runs:
        run_set(office.tenant, run.id)
    assert statuses(office, runs) == ["running"] * 2
    assert free_slots() == SLOTS
    until(lambda: statuses(office, runs) == ["succeeded"] * 2)


def test_the_time_for_all_attempts_passes_while_an_execution_waits(office: Office, bank: Receiver) -> None:
    bank.behave(**HANGS)
    runs = started(office, 4)
    run_set(office.tenant, runs[0].id)
    (late,) = started(office, 1)
    with unit_of_work(office.tenant.id):
        created = office.execution(late).created_at
    office.set_execution(late, tries_began_at=created.replace(year=created.year - 1))
    run_set(office.tenant, late.id)
    assert office.execution(late).failure == "deadline_passed"
    assert len(bank.requests()) == 4
    until(lambda: statuses(office, runs) == ["succeeded"] * 4)


def test_the_attempt_of_a_lost_worker_is_settled_while_the_share_is_full(office: Office, bank: Receiver) -> None:
    bank.behave(**HANGS)
    runs = started(office, 4)
    run_set(office.tenant, runs[0].id)
    (lost,) = started(office, 1)
    past = office.execution(lost).created_at
    begin_execution(office.tenant, lost.id)
    office.set_execution(lost, lease_until=past)
    run_set(office.tenant, lost.id)
    assert office.execution(lost).failure == "worker_lost"
    until(lambda: statuses(office, runs) == ["succeeded"] * 4)
