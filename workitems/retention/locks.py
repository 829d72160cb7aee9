"""Lock of a tenant's retention: batches, holds, rules and erasures run one at a time."""

from __future__ import annotations

import threading
from typing import Final

from django.db import OperationalError, connection, transaction

from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext

_TRY: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
_WAIT: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_waits: Final = threading.Semaphore(1)
"""Threads of requests that wait, so that those of one tenant do not occupy all threads of a process."""


def lock_retention(*, ctx: ActingContext) -> None:
    """Acquire the retention lock of the tenant until the end of the transaction.

    A legal hold that is set under the lock applies to all later batches. Jobs and commands wait for it; the request of
    a principal waits for a second at most. Raise `RateLimited`.
    """
    key = [f"retention:{ctx.tenant_id}"]
    with connection.cursor() as cursor:
        if ctx.is_system:
            cursor.execute(_WAIT, key)
            return
        cursor.execute(_TRY, key)
        if cursor.fetchone()[0]:
            return
    if not _waits.acquire(blocking=False):
        raise _busy()
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")
            cursor.execute(_WAIT, key)
            cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    except OperationalError:
        raise _busy() from None
    finally:
        _waits.release()


def _busy() -> errors.RateLimited:
    said = "Another change of the tenant's retention, or a removal, is in progress. Retry in a moment."
    return errors.RateLimited(said, headers={"Retry-After": "2"})
