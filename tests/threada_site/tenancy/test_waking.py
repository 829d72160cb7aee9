from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection, transaction

from tests.factories import make_tenant
from threada_site.tenancy.jobs import enqueue
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.unit_of_work import unit_of_work
from threada_site.tenancy.waking import INTERVAL_S

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    return make_tenant("acme")


@pytest.fixture
def listener(transactional_db: None) -> Iterator[psycopg.Connection]:
    parameters = connection.get_connection_params()
    with psycopg.connect(
        host=parameters["host"],
        port=parameters["port"],
        user=parameters["user"],
        dbname=parameters["dbname"],
        autocommit=True,
    ) as listening:
        listening.execute('LISTEN "procrastinate_queue_v1#default"')
        yield listening


def heard(listener: psycopg.Connection, *, seconds: float) -> list[str]:
    return [notification.payload for notification in listener.notifies(timeout=seconds)]


def test_workers_are_woken_once_a_job_has_committed(tenant: Tenant, listener: psycopg.Connection) -> None:
    with unit_of_work(tenant.id):
        enqueue("workitems.decide_intake", tenant_id=tenant.id, work_item_id="x", correlation_id="y")
        assert heard(listener, seconds=0.2) == []
    assert heard(listener, seconds=1) == ['{"type": "job_inserted", "job_id": 0}']


def test_nobody_is_woken_for_what_was_rolled_back(tenant: Tenant, listener: psycopg.Connection) -> None:
    with unit_of_work(tenant.id):
        enqueue("workitems.decide_intake", tenant_id=tenant.id, work_item_id="x", correlation_id="y")
        transaction.set_rollback(True)
    assert heard(listener, seconds=0.3) == []


def test_commits_in_a_burst_share_notifications_and_the_last_has_one(
    tenant: Tenant, listener: psycopg.Connection
) -> None:
    begun = time.monotonic()
    for number in range(30):
        with unit_of_work(tenant.id):
            enqueue("workitems.decide_intake", tenant_id=tenant.id, work_item_id=str(number), correlation_id="y")
    most = (time.monotonic() - begun) / INTERVAL_S + 2
    time.sleep(2 * INTERVAL_S)
    assert 1 <= len(heard(listener, seconds=1)) <= most


def test_the_queue_notifies_nobody_inside_a_transaction(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgenabled FROM pg_trigger WHERE tgname = 'procrastinate_jobs_notify_queue_job_inserted_v1'"
        )
        assert cursor.fetchall() == [("D",)]
