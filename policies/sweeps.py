"""Sweeps over all tenants. They only enqueue jobs; each job checks again under its own locks."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db.models import Q

from policies.lifecycle import EmergencyStatus, ReplayStatus, ShadowStatus
from policies.models import EmergencyPublication, PolicyReplay, PolicyShadow
from policies.publication.announcements import PUT_IN_FORCE
from policies.replay.request import RUN
from threada_site.database.roles import platform_role
from threada_site.jobs.enqueue import MAINTENANCE_QUEUE, REPLAY_QUEUE, enqueue, live_jobs

BATCH: Final = 500
END_EMERGENCY: Final = "policies.end_emergency"
"""Task that ends an emergency publication after its time box. Argument: `emergency_id`."""
RUN_SHADOW: Final = "policies.run_shadow"
"""Task that compares a shadow with live decisions. Argument: `shadow_id`."""


def enqueue_due_emergency_ends(*, now: datetime) -> int:
    """Enqueue the end of emergency publications past their time box that have no live job. Return their number."""
    with platform_role():
        due = EmergencyPublication.objects.filter(status=EmergencyStatus.OPEN, ends_at__lte=now).order_by("ends_at")
        found = list(due.values_list("tenant_id", "id")[:BATCH])
        live = live_jobs(END_EMERGENCY, "emergency_id", [str(emergency_id) for _, emergency_id in found])
        for tenant_id, emergency_id in found:
            if str(emergency_id) not in live:
                enqueue(END_EMERGENCY, tenant_id=tenant_id, queue=MAINTENANCE_QUEUE, emergency_id=str(emergency_id))
    return len(found)


def enqueue_due_emergencies(*, now: datetime) -> int:
    """Enqueue announced emergency publications past their notice that have no live job. Return their number."""
    with platform_role():
        due = EmergencyPublication.objects.filter(status=EmergencyStatus.ANNOUNCED, takes_effect_at__lte=now)
        found = list(due.order_by("takes_effect_at").values_list("tenant_id", "id")[:BATCH])
        live = live_jobs(PUT_IN_FORCE, "emergency_id", [str(emergency_id) for _, emergency_id in found])
        for tenant_id, emergency_id in found:
            if str(emergency_id) not in live:
                enqueue(PUT_IN_FORCE, tenant_id=tenant_id, queue=MAINTENANCE_QUEUE, emergency_id=str(emergency_id))
    return len(found)


def enqueue_due_shadows() -> int:
    """Enqueue a comparison for every active shadow without a pending job. Return their number."""
    with platform_role():
        found = list(PolicyShadow.objects.filter(status=ShadowStatus.ACTIVE).values_list("tenant_id", "id")[:BATCH])
        live = live_jobs(RUN_SHADOW, "shadow_id", [str(shadow_id) for _, shadow_id in found])
        for tenant_id, shadow_id in found:
            if str(shadow_id) not in live:
                enqueue(RUN_SHADOW, tenant_id=tenant_id, queue=REPLAY_QUEUE, shadow_id=str(shadow_id))
    return len(found)


def enqueue_due_replays(*, now: datetime) -> int:
    """Enqueue replays without a live job, including replays whose worker crashed. Return their number."""
    due = Q(status=ReplayStatus.REQUESTED) | Q(status=ReplayStatus.RUNNING, lease_until__lte=now)
    with platform_role():
        found = list(PolicyReplay.objects.filter(due).order_by("id").values_list("tenant_id", "id")[:BATCH])
        live = live_jobs(RUN, "replay_id", [str(replay_id) for _, replay_id in found])
        missing = [(tenant_id, replay_id) for tenant_id, replay_id in found if str(replay_id) not in live]
        for tenant_id, replay_id in missing:
            enqueue(RUN, tenant_id=tenant_id, queue=REPLAY_QUEUE, replay_id=str(replay_id))
    return len(missing)
