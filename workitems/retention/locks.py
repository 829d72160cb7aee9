"""The lock under which a tenant's retention acts: batches, holds, rules and erasures, one at a time."""

from __future__ import annotations

import uuid

from django.db import connection


def lock_retention(tenant_id: uuid.UUID) -> None:
    """Wait for the tenant's retention and keep it until the transaction ends: a hold set now wins over every later
    batch, and a batch never sees half a legal hold."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"retention:{tenant_id}"])
