"""The engine setting: refused values, schedules of periodic tasks, and messages of workers."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings as product
from pytest_django import Settings

from tests.journeys.worker import database_url
from threada_site.jobs.engines.celery.relay import PeriodicSchedule
from threada_site.jobs.engines.choice import engine_problem
from threada_site.jobs.pools import all_pools
from threada_site.jobs.registry import all_tasks, task


@pytest.mark.parametrize(
    ("engine", "url", "problem"),
    [
        ("procrastinate", "", None),
        ("celery", "amqp://u:p@broker:5672/threada", None),
        ("celery", "amqps://broker", None),
        ("redis", "", "THREADA_ENGINE must be procrastinate or celery, not 'redis'"),
        ("celery", "", "THREADA_ENGINE=celery needs THREADA_BROKER_URL, e.g. amqp://user:password@host:5672/threada"),
        (
            "celery",
            "redis://u:secret@broker",
            "THREADA_BROKER_URL must be amqp:// or amqps://[user:password@]host[:port][/virtual host]",
        ),
        (
            "celery",
            "amqp://u:secret@broker:port",
            "THREADA_BROKER_URL must be amqp:// or amqps://[user:password@]host[:port][/virtual host]",
        ),
    ],
)
def test_invalid_settings_are_refused(engine: str, url: str, problem: str | None, settings: Settings) -> None:
    settings.THREADA_ENGINE, settings.THREADA_BROKER_URL = engine, url
    assert engine_problem() == problem


def test_process_without_jobs_needs_no_broker(settings: Settings) -> None:
    settings.THREADA_ENGINE, settings.THREADA_BROKER_URL = "celery", ""
    assert engine_problem(works=False) is None
    settings.THREADA_BROKER_URL = "redis://broker"
    assert engine_problem(works=False) is not None
    settings.THREADA_ENGINE, settings.THREADA_BROKER_URL = "redis", ""
    assert engine_problem(works=False) == "THREADA_ENGINE must be procrastinate or celery, not 'redis'"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("engine", ["celery", "redis"])
def test_worker_reports_why_it_does_not_start(engine: str) -> None:
    environment = {**os.environ, "DATABASE_URL": database_url(), "THREADA_ENGINE": engine, "THREADA_BROKER_URL": ""}
    done = subprocess.run(
        [sys.executable, "manage.py", "worker"],
        check=False,
        cwd=Path(product.THREADA_BASE_DIR),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("CommandError: Threada refuses to run: THREADA_ENGINE")
    assert "Traceback" not in done.stderr


def test_periodic_task_is_due_once_after_several_ticks() -> None:
    start = datetime(2026, 11, 25, 12, 0, 0, 500_000, UTC).timestamp()
    ticks = PeriodicSchedule(start)
    assert ticks.due(start) == []
    assert ticks.pause(start) == pytest.approx(0.5)
    assert ticks.due(start + 0.5) == [("workitems.dispatch_waiting", "sweeps")]
    assert ticks.due(start + 0.6) == []
    names = [name for name, _ in ticks.due(start + 60)]
    assert len(names) == len(set(names))
    assert {"workitems.sweep", "workitems.dispatch_waiting", "workitems.deadlines"} <= set(names)
    assert "telemetry.tidy" not in names


def test_every_task_belongs_to_a_queue_of_some_pool() -> None:
    worked_off = {queue for pool in all_pools(4) for queue in pool.queues}
    assert {each.queue for each in all_tasks().values()} <= worked_off
    assert len(all_tasks()) >= 26


def test_task_names_are_unique() -> None:
    with pytest.raises(ValueError, match=r"Two tasks are called workitems\.sweep"):
        task("workitems.sweep", queue="sweeps")(lambda: None)


def test_pauses_between_attempts_grow() -> None:
    re_evaluate = all_tasks()["workitems.re_evaluate_for_policies"]
    assert [re_evaluate.pause_after(failures) for failures in (1, 2, 3)] == [0, 5, 10]
