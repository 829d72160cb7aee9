"""Sweeps over all tenants: they only remind, by enqueueing jobs; the jobs look again under their own locks."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from policies.models import EmergencyPublication
from policies.publication import EmergencyStatus
from threada_site.tenancy.jobs import MAINTENANCE_QUEUE, enqueue, live_jobs
from threada_site.tenancy.roles import platform_role

BATCH: Final = 500
END_EMERGENCY: Final = "policies.end_emergency"
"""The task that ends an emergency whose time is over; its argument is `emergency_id`."""


def remind_of_emergencies(*, now: datetime) -> int:
    """Enqueue the end of emergency publications whose time is over and that have no live job."""
    with platform_role():
        due = EmergencyPublication.objects.filter(status=EmergencyStatus.OPEN, ends_at__lte=now).order_by("ends_at")
        found = list(due.values_list("tenant_id", "id")[:BATCH])
        live = live_jobs(END_EMERGENCY, "emergency_id", [str(emergency_id) for _, emergency_id in found])
        for tenant_id, emergency_id in found:
            if str(emergency_id) not in live:
                enqueue(END_EMERGENCY, tenant_id=tenant_id, queue=MAINTENANCE_QUEUE, emergency_id=str(emergency_id))
    return len(found)
