"""Metrics of continuous deliveries."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import connection

from telemetry.lifecycle import DeliveryStatus
from threada_site.kernel.metrics import Metric


def delivery_metrics() -> Iterator[Metric]:
    """Yield deliveries by status, the longest failing time, the largest backlog, and the number of rejected
    receipts."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT d.status, count(*),
                   coalesce(max(extract(epoch FROM now() - d.failing_since)), 0),
                   coalesce(max((SELECT max(l.index) + 1 FROM telemetry_logleaf l WHERE l.tenant_id = d.tenant_id)
                                - d.next_index), 0),
                   sum(d.rejected)
              FROM telemetry_delivery d WHERE d.status <> 'removed' GROUP BY d.status
            """
        )
        found = {status: metrics for status, *metrics in cursor.fetchall()}
    for status in (DeliveryStatus.ACTIVE, DeliveryStatus.PAUSED):
        count, failing, lacking, rejected = found.get(status, (0, 0, 0, 0))
        labels = (("status", status.value),)
        yield Metric("threada_deliveries", "Continuous deliveries.", count, labels)
        yield Metric(
            "threada_delivery_failing_seconds", "Longest time that a delivery has been failing.", float(failing), labels
        )
        yield Metric(
            "threada_delivery_behind_receipts",
            "Sealed receipts not yet delivered, of the delivery furthest behind.",
            lacking,
            labels,
        )
        yield Metric("threada_delivery_rejected_receipts", "Receipts rejected by collectors.", float(rejected), labels)
