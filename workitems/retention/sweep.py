"""Sweeps of retention, of expired idempotency answers and of drafts that nobody continues."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from threada_site.api.models import IdempotencyRecord
from threada_site.database.roles import platform_role
from threada_site.jobs.enqueue import MAINTENANCE_QUEUE, enqueue, live_jobs
from workitems.models import RequestDraft, RetentionRule

DRAFTS_KEPT: Final = timedelta(days=90)
"""Time since the last saving after which a draft of a request is deleted."""


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


def delete_old_drafts(*, now: datetime) -> None:
    """Delete drafts of requests that were not saved for `DRAFTS_KEPT`."""
    with platform_role():
        old = RequestDraft.objects.filter(saved_at__lt=now - DRAFTS_KEPT).order_by("saved_at")
        RequestDraft.objects.filter(id__in=list(old.values_list("id", flat=True)[:5000])).delete()
