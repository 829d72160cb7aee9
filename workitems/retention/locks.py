"""Lock of a tenant's retention: batches, holds, rules and erasures run one at a time."""

from __future__ import annotations

import uuid

from django.db import connection


def lock_retention(tenant_id: uuid.UUID) -> None:
    """Acquire the retention lock of the tenant until the end of the transaction.

    A legal hold that is set under the lock applies to all later batches.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"retention:{tenant_id}"])
