"""Sweeps of retention and of expired idempotency answers."""

from __future__ import annotations

from datetime import datetime

from threada_site.api.models import IdempotencyRecord
from threada_site.database.roles import platform_role
from threada_site.jobs.enqueue import MAINTENANCE_QUEUE, enqueue, live_jobs
from workitems.models import RetentionRule


def enqueue_due_retention() -> int:
    """Enqueue one retention job per tenant with rules, so that no tenant waits for another. Return their number."""
    with platform_role():
        tenants = list(RetentionRule.objects.order_by("tenant_id").values_list("tenant_id", flat=True).distinct())
        live = live_jobs("workitems.apply_retention", "tenant_id", [str(tenant_id) for tenant_id in tenants])
        for tenant_id in tenants:
            if str(tenant_id) not in live:
                enqueue("workitems.apply_retention", tenant_id=tenant_id, queue=MAINTENANCE_QUEUE)
    return len(tenants)


def delete_expired_answers(*, now: datetime) -> None:
    """Delete expired idempotency answers, which contain payloads."""
    with platform_role():
        expired = IdempotencyRecord.objects.filter(expires_at__lt=now).order_by("expires_at").values("id")[:5000]
        IdempotencyRecord.objects.filter(id__in=list(expired.values_list("id", flat=True))).delete()
