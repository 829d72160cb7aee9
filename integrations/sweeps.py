"""Sweeps over all tenants. They only enqueue jobs; the jobs check again under their own locks."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db import connection

from threada_site.database.roles import platform_role
from threada_site.jobs.enqueue import DELIVERY_QUEUE, enqueue, live_jobs

BATCH: Final = 500
DELIVER: Final = "integrations.deliver"
"""Name of the task that sends due batches of a delivery. Argument: `delivery_id`."""


def enqueue_due_deliveries(*, now: datetime) -> int:
    """Enqueue active deliveries that have undelivered receipts and no live job. Return the number of jobs."""
    with platform_role():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT d.tenant_id, d.id FROM telemetry_delivery d WHERE d.status = 'active' "
                "AND (d.next_try_at IS NULL OR d.next_try_at <= %s) AND (d.lease_until IS NULL OR d.lease_until <= %s) "
                "AND EXISTS (SELECT FROM telemetry_logleaf l WHERE l.tenant_id = d.tenant_id "
                "AND l.index >= d.next_index) ORDER BY d.next_try_at NULLS FIRST LIMIT %s",
                [now, now, BATCH],
            )
            due = cursor.fetchall()
        live = live_jobs(DELIVER, "delivery_id", [str(delivery_id) for _, delivery_id in due])
        missing = [(tenant_id, delivery_id) for tenant_id, delivery_id in due if str(delivery_id) not in live]
        for tenant_id, delivery_id in missing:
            enqueue(DELIVER, tenant_id=tenant_id, queue=DELIVERY_QUEUE, delivery_id=str(delivery_id))
    return len(missing)
