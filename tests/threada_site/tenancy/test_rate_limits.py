"""Buckets in the database: shared by processes, closed to the web's own statements, by the clock of the database."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import ProgrammingError, connection, transaction
from django.test.utils import CaptureQueriesContext

from threada_site.database.roles import platform_role
from threada_site.kernel.metrics import Metric
from threada_site.tenancy.instance_models import RateBucket
from threada_site.tenancy.rate_leases import Bucket, Leases
from threada_site.tenancy.rate_limits import (
    _lend,
    buckets_of_account,
    buckets_of_address,
    buckets_of_credential,
    refusal_metrics,
)


def bucket(rate: int = 1, burst: int = 40) -> Bucket:
    return Bucket("credential", f"credential:{uuid.uuid4()}", rate, burst)


def admitted(leases: Leases, limit: Bucket, tries: int) -> int:
    taken = [leases.take([limit]) for _ in range(tries)]
    return sum(each is not None and each.retry_s is None for each in taken)


def stored(limit: Bucket) -> RateBucket:
    with platform_role():
        return RateBucket.objects.get(key=limit.key)


def age(limit: Bucket, seconds: int) -> None:
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tenancy_ratebucket SET refilled_at = refilled_at - make_interval(secs => %s) WHERE key = %s",
            [seconds, limit.key],
        )


@pytest.mark.django_db(transaction=True)
def test_processes_share_one_bucket() -> None:
    """Each process has its own leases and its own connection."""
    limit = bucket()
    passed: list[int] = []

    def process() -> None:
        try:
            passed.append(admitted(Leases(_lend), limit, 100))
        finally:
            connection.close()

    threads = [threading.Thread(target=process) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 40 <= sum(passed) <= 42  # the burst, and what was refilled while they ran
    assert len([each for each in passed if each]) > 1  # on a busy machine one may start when nothing is left


def test_a_lease_takes_one_statement_for_all_buckets(db: None) -> None:
    with CaptureQueriesContext(connection) as statements:
        Leases(_lend).take([bucket(), bucket()])
    assert len(statements) == 1


def test_buckets_are_refilled_by_the_clock_of_the_database(db: None) -> None:
    limit = bucket(rate=2, burst=40)
    assert 40 <= admitted(Leases(_lend), limit, 60) <= 44  # and what is added while the test runs
    age(limit, 5)
    assert 10 <= admitted(Leases(_lend), limit, 60) <= 14
    age(limit, 3600)
    assert 40 <= admitted(Leases(_lend), limit, 60) <= 44


def test_a_clock_that_was_set_back_takes_nothing(db: None) -> None:
    limit = bucket()
    admitted(Leases(_lend), limit, 10)
    age(limit, -3600)
    left = stored(limit).tokens
    admitted(Leases(_lend), limit, 1)
    assert stored(limit).tokens == left - limit.block
    age(limit, 3)
    assert admitted(Leases(_lend), limit, 1) == 1
    assert stored(limit).tokens >= left - 2 * limit.block + 3  # refilled, although the old time is in the future


def test_the_tokens_of_a_process_that_died_come_back_with_the_rate(db: None) -> None:
    limit = bucket(rate=10, burst=40)
    Leases(_lend).take([limit])
    assert stored(limit).tokens == 38
    age(limit, 1)
    Leases(_lend).take([limit])
    assert stored(limit).tokens == 38


def test_the_login_reads_and_writes_no_bucket(db: None) -> None:
    limit = bucket()
    Leases(_lend).take([limit])
    assert RateBucket.objects.count() == 0
    assert RateBucket.objects.filter(key=limit.key).update(tokens=1e9) == 0
    with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
        RateBucket.objects.create(key="credential:x", tokens=1e9, refilled_at="2026-01-01T00:00:00Z")


def test_the_table_is_not_logged(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relpersistence FROM pg_class WHERE relname IN ('tenancy_ratebucket', 'tenancy_raterefusals')"
        )
        assert cursor.fetchall() == [("u",), ("u",)]


def test_buckets_of_clients_that_are_gone_are_removed(db: None) -> None:
    gone, limit = [bucket() for _ in range(20)], bucket()
    for each in gone:
        Leases(_lend).take([each])
        age(each, 7200)
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0)")
    for _ in range(2000):
        Leases(_lend).take([limit])
        with platform_role():
            if not RateBucket.objects.filter(key__in=[each.key for each in gone]).exists():
                return
    pytest.fail("No bucket was removed.")


def test_refused_requests_are_counted_for_all_processes(db: None) -> None:
    limit = bucket(rate=1, burst=1)
    for _ in range(2):
        leases = Leases(_lend)
        admitted(leases, limit, 5)
        leases.take([bucket()])  # the next lease of anything reports what was refused before
    with platform_role():
        counted = {metric.labels[0][1]: metric.value for metric in _metrics()}
    assert counted == {"credential": 9, "account": 0, "tenant": 0, "address": 0}


def _metrics() -> list[Metric]:
    return list(refusal_metrics())


def test_a_database_that_cannot_be_written_leaves_each_process_to_count_alone(db: None) -> None:
    limit = bucket()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        assert Leases(_lend_in_savepoint).take([limit]) is not None
        transaction.set_rollback(True)


def _lend_in_savepoint(*parameters: Any) -> Any:
    savepoint = transaction.savepoint_create()
    granted = _lend(*parameters)
    transaction.savepoint_rollback(savepoint)
    assert granted is None
    return granted


def test_a_rate_of_zero_is_no_limit(rate_limits: Callable[..., None]) -> None:
    rate_limits(tenant=3)
    tenant, one = uuid.uuid4(), uuid.uuid4()
    assert [each.key for each in buckets_of_credential(one, tenant)] == [f"tenant:{tenant}"]
    assert [each.burst for each in buckets_of_account(one, tenant)] == [15]
    assert buckets_of_account(one, None) == []


def test_rows_contain_no_address(rate_limits: Callable[..., None]) -> None:
    rate_limits(address=1)
    (one,), (other,) = buckets_of_address("192.0.2.1"), buckets_of_address("192.0.2.2")
    assert one.key != other.key
    assert "192.0.2" not in one.key
    assert buckets_of_address("") == []
