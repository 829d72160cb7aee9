"""Parallel attempts of several processes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from threada_site.identity.sign_in.attempts import Origin, begin_attempt
from threada_site.kernel.errors import SignInDelayed
from threada_site.tenancy.instance_models import SignInCounter


@pytest.mark.django_db(transaction=True)
def test_parallel_attempts_are_not_more_than_the_limit() -> None:
    """Sixteen connections begin at the same moment; five attempts are free."""
    together = threading.Barrier(16)

    def attempt(_number: int) -> bool:
        together.wait()
        try:
            begin_attempt("alice", Origin("203.0.113.9", "203.0.113.0/24"))
        except SignInDelayed:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(16) as threads:
        admitted = sum(threads.map(attempt, range(16)))
    assert admitted == 5


@pytest.mark.django_db(transaction=True)
def test_counters_are_taken_back_in_the_order_in_which_they_are_counted() -> None:
    """Otherwise two sign-ins to one account from one network could wait for each other."""
    attempt = begin_attempt("alice", Origin("203.0.113.9", "203.0.113.0/24"))
    keys = sorted(attempt.counters)
    for key in keys[1:]:  # the first one is now the last one in the table
        SignInCounter.objects.filter(key=key).update(failures=1)
    SignInCounter.objects.filter(key=keys[0]).update(failures=1)

    def withdraw() -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL enable_indexscan = off")  # as PostgreSQL chooses for a small table
                cursor.execute("SET LOCAL enable_bitmapscan = off")
                attempt.withdraw()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            SignInCounter.objects.select_for_update().get(key=keys[0])
            waiting = threads.submit(withdraw)
            time.sleep(0.5)
            others = SignInCounter.objects.filter(key__in=keys[1:]).select_for_update(skip_locked=True)
            assert len(others) == len(keys) - 1
        waiting.result(timeout=10)
    assert set(SignInCounter.objects.values_list("failures", flat=True)) == {0}
