"""Rows of the outbox: enqueued once, published up to the capacity, taken by one worker, returned if it is lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from threada_site.jobs.engines.celery.outbox import (
    LOSSES,
    OutboxJobs,
    Taken,
    beat,
    finish,
    put_back,
    release,
    sign_off,
    take,
)
from threada_site.jobs.engines.celery.publication import (
    DueJob,
    PoolCapacity,
    acquire_relay_lease,
    due_jobs,
    mark_published,
    plan_publication,
    pool_capacities,
    release_relay_lease,
    unmark,
    unmark_lost,
)
from threada_site.jobs.engines.depth import depth_of
from threada_site.jobs.engines.procrastinate.jobs import ProcrastinateJobs
from threada_site.kernel import clock

pytestmark = pytest.mark.django_db

POOLS = {"first": ("first",), "executions": ("first", "executions")}
OF_A_WORKER = {"first": {"slots": 2, "capacity": 2}, "executions": {"slots": 2, "capacity": 4}}


def insert(number: int = 0, *, queue: str = "executions", into: Any = None, **changes: Any) -> None:
    options = {"priority": 0, "once": None, "run_at": None, **changes}
    statement = (into or OutboxJobs()).insertion(
        "workitems.decide_intake", queue=queue, body=f'{{"number": {number}}}', **options
    )
    with connection.cursor() as cursor:
        cursor.execute(statement.sql, statement.params)


def rows(columns: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM tenancy_job ORDER BY id")
        return list(cursor.fetchall())


def publish() -> list[str]:
    """Run one round of the relay. Return the tokens it would send."""
    capacities = pool_capacities(POOLS)
    return [job.token for job in mark_published(plan_publication(capacities, due_jobs(capacities)))]


def let_pass(seconds: int) -> None:
    with connection.cursor() as cursor:
        for table, column in (
            ("tenancy_job", "beat_at"),
            ("tenancy_job", "published_at"),
            ("tenancy_worker", "beat_at"),
            ("tenancy_relay", "lease_until"),
        ):
            cursor.execute(f"UPDATE {table} SET {column} = {column} - %s * interval '1 second'", [seconds])


def taken(token: str, worker: str = "a") -> Taken:
    found = take(token, worker=worker)
    assert found is not None
    return found


def test_pools_take_jobs_by_priority_then_age() -> None:
    due = [
        DueJob(1, "executions", -1),
        DueJob(2, "executions", 0),
        DueJob(3, "first", 0),
        DueJob(4, "first", 0),
        DueJob(5, "first", 0),
    ]
    capacities = [PoolCapacity("first", ("first",), 2), PoolCapacity("executions", ("first", "executions"), 2)]
    assert plan_publication(capacities, due) == {"first": [3, 4], "executions": [2, 5]}
    assert plan_publication([PoolCapacity("first", ("first",), -1)], due) == {"first": []}


def test_jobs_are_published_up_to_the_capacity_of_running_workers() -> None:
    for number in range(9):
        insert(number)
    assert publish() == []
    beat("a", pools=OF_A_WORKER, running=[])
    assert len(publish()) == 4
    assert publish() == []
    assert rows("pool") == [("executions",)] * 4 + [(None,)] * 5
    beat("b", pools=OF_A_WORKER, running=[])
    assert len(publish()) == 4
    let_pass(16)
    assert pool_capacities(POOLS) == [
        PoolCapacity("first", POOLS["first"], 0),
        PoolCapacity("executions", POOLS["executions"], -8),
    ]


def test_delayed_job_is_not_due() -> None:
    beat("a", pools=OF_A_WORKER, running=[])
    insert(run_at=clock.now() + timedelta(seconds=60))
    assert publish() == []


def test_message_is_taken_once_and_its_row_is_deleted_with_the_job() -> None:
    beat("a", pools=OF_A_WORKER, running=[])
    insert(7)
    ((token,),) = rows("token::text")
    assert take(token, worker="a") is None  # it is not published
    assert publish() == [token]
    job = taken(token)
    assert (job.task, job.arguments, job.attempts) == ("workitems.decide_intake", {"number": 7}, 1)
    assert take(token, worker="b") is None
    finish(job, worker="b")
    assert rows("taken_by") == [("a",)]
    finish(job, worker="a")
    assert rows("id") == []


def test_failed_job_waits_for_its_pause() -> None:
    beat("a", pools=OF_A_WORKER, running=[])
    insert()
    (token,) = publish()
    put_back(taken(token), worker="a", pause_s=0)
    assert take(token, worker="a") is None
    assert publish() == [token]
    again = taken(token)
    assert again.attempts == 2
    put_back(again, worker="a", pause_s=30)
    assert publish() == []


def test_jobs_of_a_lost_worker_return_to_the_queue() -> None:
    beat("a", pools=OF_A_WORKER, running=[])
    insert(once="workitems.tidy")
    job = taken(*publish())
    assert release() == []
    assert rows("taken_by, losses") == [("a", 0)]
    let_pass(14)
    beat("a", pools=OF_A_WORKER, running=[job.id])
    let_pass(14)
    release()
    assert rows("taken_by, losses") == [("a", 0)]
    let_pass(2)
    insert(once="workitems.tidy")
    release()
    assert rows("taken_by, once, losses") == [(None, None, 1), (None, "workitems.tidy", 0)]
    finish(job, worker="a")
    put_back(job, worker="a", pause_s=0)
    assert len(rows("id")) == 2


def test_stopping_worker_returns_only_its_own_jobs() -> None:
    insert(1)
    insert(2)
    beat("a", pools=OF_A_WORKER, running=[])
    first, second = publish()
    taken(first, "a")
    taken(second, "b")
    sign_off("a")
    assert rows("taken_by, losses") == [(None, 1), ("b", 0)]
    assert pool_capacities(POOLS)[1].free == -1


def test_job_that_kills_workers_is_given_up() -> None:
    beat("a", pools=OF_A_WORKER, running=[])
    insert()
    for loss in range(1, LOSSES):
        taken(*publish())
        assert release(of="a") == []
        assert rows("losses") == [(loss,)]
    taken(*publish())
    assert release(of="a") == ["workitems.decide_intake"]
    assert rows("id") == []


def test_untaken_message_is_sent_again_while_a_slot_is_free() -> None:
    beat("a", pools=OF_A_WORKER, running=[])
    for number in range(4):
        insert(number)
    tokens = publish()
    assert unmark_lost() == 0
    jobs = [taken(token) for token in tokens[:2]]
    let_pass(16)
    beat("a", pools=OF_A_WORKER, running=[job.id for job in jobs])
    assert unmark_lost() == 0  # both slots are busy: the other two wait for them
    finish(jobs[0], worker="a")
    assert unmark_lost() == 2
    assert sorted(publish()) == sorted(tokens[2:])


def test_job_that_was_not_sent_is_not_published() -> None:
    beat("a", pools=OF_A_WORKER, running=[])
    insert(1)
    insert(2)
    first, second = publish()
    taken(first)
    unmark([row[0] for row in rows("id")])
    assert rows("published_at IS NULL") == [(False,), (True,)]
    assert take(second, worker="a") is None


def test_one_process_is_the_relay() -> None:
    assert acquire_relay_lease("a")
    assert not acquire_relay_lease("b")
    assert acquire_relay_lease("a")
    let_pass(6)
    assert acquire_relay_lease("b")
    assert not acquire_relay_lease("a")
    release_relay_lease("a")
    assert not acquire_relay_lease("a")
    release_relay_lease("b")
    assert acquire_relay_lease("a")


def test_job_with_once_waits_at_most_once() -> None:
    beat("a", pools=OF_A_WORKER, running=[])
    insert(1, once="x")
    insert(2, once="x")
    assert len(rows("id")) == 1
    taken(*publish())
    insert(3, once="x")
    assert len(rows("id")) == 2


def test_waiting_jobs_are_adopted_by_the_other_engine() -> None:
    later = clock.now() + timedelta(seconds=60)
    beat("a", pools=OF_A_WORKER, running=[])
    insert(1, priority=1)
    taken(*publish())
    for number, changes in ((2, {"priority": -3}), (3, {"run_at": later}), (4, {"once": "a.sweep"})):
        insert(number, **changes)
    assert ProcrastinateJobs().adopt() == 2  # running jobs are finished by their worker; the scheduler enqueues sweeps
    assert rows("taken_by") == [("a",)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT args->>'number', priority, scheduled_at FROM procrastinate_jobs ORDER BY id")
        moved = cursor.fetchall()
    assert [(number, priority) for number, priority, _ in moved] == [("2", -3), ("3", 0)]
    assert moved[1][2] == later
    assert ProcrastinateJobs().adopt() == 0
    assert OutboxJobs().adopt() == 2
    assert rows("arguments->>'number', priority, taken_by, run_at = '%s'" % later)[1:] == [  # noqa: UP031
        ("2", -3, None, False),
        ("3", 0, None, True),
    ]
    assert depth_of("procrastinate").waiting == 0
    assert depth_of("celery")[:2] == (2, 1)
