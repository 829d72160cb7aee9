"""Parallel attempts of several processes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from threada_site.identity.sign_in.attempts import Origin, begin_attempt
from threada_site.kernel.errors import SignInDelayed


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
