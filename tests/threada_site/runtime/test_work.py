"""Worker of the engine inside PostgreSQL: one connection and one statement serve all pools."""

from __future__ import annotations

import time
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from tests.factories import make_tenant
from tests.journeys.worker import running_worker
from threada_site.jobs.engines.choice import PROCRASTINATE
from threada_site.jobs.enqueue import enqueue
from threada_site.jobs.pools import all_pools
from threada_site.kernel import clock

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(settings.THREADA_ENGINE != PROCRASTINATE, reason="is about the other engine"),
]

LISTENING = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"
WAITING = "FROM procrastinate_jobs WHERE task_name = 'workitems.run_execution'"


def eventually(what: str, expected: object, *, timeout_s: float = 30) -> None:
    ends = time.monotonic() + timeout_s
    while (seen := _count(what)) != expected:
        assert time.monotonic() < ends, f"still {seen!r}, not {expected!r}"
        time.sleep(0.05)


def test_one_connection_listens_for_all_pools() -> None:
    with running_worker():
        eventually("FROM procrastinate_workers", len(all_pools(1)))
        eventually(LISTENING, 1)


def test_job_runs_at_once_and_a_delayed_job_when_it_is_due() -> None:
    tenant = make_tenant()
    with running_worker():
        eventually(LISTENING, 1)
        _enqueue_run(tenant)
        eventually(WAITING, 0, timeout_s=5)

        later = clock.now() + timedelta(seconds=2)
        _enqueue_run(tenant, run_at=later)
        while clock.now() < later - timedelta(milliseconds=200):
            assert _count(WAITING) == 1
            time.sleep(0.05)
        eventually(WAITING, 0, timeout_s=5)
        assert clock.now() >= later


def _count(what: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {what}")
        return cursor.fetchone()[0]


def _enqueue_run(tenant: Any, *, run_at: datetime | None = None) -> None:
    """Enqueue a run of an execution that does not exist, which does nothing."""
    enqueue("workitems.run_execution", tenant_id=tenant.id, run_at=run_at, execution_id=str(uuid.uuid4()))
