"""Sweeps enqueue what is due: no job that the queue loses stays lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.jobs import count_of_jobs, finish_first_job, lose_all_jobs, lose_workers, queued_jobs, run_jobs
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from workitems import sweeps
from workitems.models import WorkItem


def test_a_lost_intake_is_found_again(office: Office) -> None:
    item = office.create()
    lose_all_jobs()
    assert sweeps.enqueue_overdue_intake(now=clock.now()) == 0
    assert sweeps.enqueue_overdue_intake(now=clock.now() + timedelta(seconds=31)) == 1
    sweeps.enqueue_overdue_intake(now=clock.now() + timedelta(seconds=31))
    assert [name for name, _ in queued_jobs()] == ["workitems.decide_intake"]
    run_jobs()
    assert office.item(item).status == "ready"


def test_a_lost_execution_is_found_again(office: Office) -> None:
    execution = office.execute(office.decided()).execution
    assert sweeps.enqueue_due_executions(now=clock.now()) == 1
    assert len([name for name, _ in queued_jobs() if name == "workitems.run_execution"]) == 1
    lose_all_jobs()
    sweeps.enqueue_due_executions(now=clock.now())
    sweeps.enqueue_due_executions(now=clock.now())
    assert [arguments["execution_id"] for _, arguments in queued_jobs()] == [str(execution.id)]


def test_execution_waiting_for_its_next_attempt_is_not_enqueued(office: Office) -> None:
    execution = office.execute(office.decided()).execution
    lose_all_jobs()
    office.set_execution(execution, next_try_at=clock.now() + timedelta(seconds=60))
    assert sweeps.enqueue_due_executions(now=clock.now()) == 0
    assert queued_jobs() == []


def test_it_sweeps_all_tenants(office: Office, other_tenant: object) -> None:
    from tests.workitems.office import open_office

    other = open_office(other_tenant)  # type: ignore[arg-type]
    office.create()
    other.create()
    lose_all_jobs()
    assert sweeps.enqueue_overdue_intake(now=clock.now() + timedelta(seconds=31)) == 2
    run_jobs()
    for each in (office, other):
        with unit_of_work(each.tenant.id):
            assert WorkItem.objects.get().status == "ready"


@pytest.mark.parametrize("heartbeat_age_s", [1, 60])
def test_a_re_evaluation_whose_worker_died_is_taken_up_again(office: Office, heartbeat_age_s: int) -> None:
    office.awaiting()
    run_jobs()
    office.put_bank(base_url="http://127.0.0.1:10")
    lose_workers("workitems.re_evaluate_for_%", heard_of_s_ago=heartbeat_age_s)
    sweeps.revive_re_evaluations()
    expected = ["workitems.re_evaluate_for_integrations"] if heartbeat_age_s > 30 else []
    assert [name for name, _ in queued_jobs()] == expected


def test_finished_jobs_are_deleted_and_others_kept(office: Office) -> None:
    office.create()
    office.create()
    finish_first_job()
    waiting = queued_jobs()
    sweeps.delete_finished_jobs()
    assert count_of_jobs() == len(waiting)
