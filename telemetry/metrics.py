"""Metrics of sealing: unsealed and sealed receipts, age of checkpoints, and alarms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.db import connection
from django.db.models import Sum

from telemetry.models import (
    CheckpointTarget,
    InstanceAlarm,
    LogAlarm,
    QuarantineCount,
    QuarantinedReceipt,
    SealQueueEntry,
)
from threada_site.kernel import clock, ids
from threada_site.kernel.metrics import Metric

# Reads one row at the end of each log, regardless of its length.
_LOGS: Final = """
SELECT coalesce(sum(log.size), 0), coalesce(extract(epoch FROM %s - min(head.signed_at)), 0)
  FROM tenancy_tenant t
  JOIN LATERAL (SELECT "index" + 1 AS size FROM telemetry_logleaf l
                 WHERE l.tenant_id = t.id ORDER BY "index" DESC LIMIT 1) log ON true
  LEFT JOIN LATERAL (SELECT signed_at FROM telemetry_checkpoint c
                      WHERE c.tenant_id = t.id ORDER BY id DESC LIMIT 1) head ON true
"""


def seal_metrics() -> Iterator[Metric]:
    """Yield sealing metrics across all tenants. The age of a receipt is derived from its id."""
    now = clock.now()
    oldest = SealQueueEntry.objects.order_by("id").values_list("id", flat=True).first()
    age = (now - ids.instant_of(oldest)).total_seconds() if oldest else 0.0
    with connection.cursor() as cursor:
        cursor.execute(_LOGS, [now])
        sealed, checkpoint_age = cursor.fetchone()
    waiting = SealQueueEntry.objects.count()
    yield Metric("threada_receipts_unsealed", "Receipts that are not sealed yet.", waiting)
    yield Metric("threada_receipts_unsealed_oldest_seconds", "How old the oldest of them is.", max(age, 0.0))
    yield Metric("threada_receipts_sealed", "Receipts in the tenants' logs.", int(sealed))
    yield Metric(
        "threada_checkpoint_oldest_seconds",
        "How old the newest checkpoint is of the log that has waited longest for one.",
        max(float(checkpoint_age), 0.0),
    )
    yield Metric(
        "threada_logs_broken",
        "Logs whose rows differ from their signed tree head. Nothing is appended to them.",
        LogAlarm.objects.filter(acknowledged_at__isnull=True).count()
        + InstanceAlarm.objects.filter(acknowledged_at__isnull=True).count(),
    )
    beyond = QuarantineCount.objects.aggregate(number=Sum("receipts"))["number"] or 0
    yield Metric(
        "threada_receipts_quarantined",
        "Receipts that the sealer refused and no operator has decided about.",
        QuarantinedReceipt.objects.count() + beyond,
    )
    yield Metric(
        "threada_checkpoint_targets_failing",
        "Places that checkpoints cannot be published to.",
        CheckpointTarget.objects.filter(failing_since__isnull=False).count(),
    )
