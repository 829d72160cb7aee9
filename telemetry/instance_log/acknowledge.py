"""Acknowledgement of a broken instance log by an operator."""

from __future__ import annotations

from django.db import connection

from telemetry.log.anchor import Anchor, AnchoredCheckpoint
from telemetry.log.store import LOCK_FOR_SEALING
from telemetry.models import InstanceAlarm
from telemetry.selectors import instance_log_size, instance_nodes
from telemetry.tlog.checkpoint import INSTANCE
from telemetry.verification.acknowledge import restart_point
from threada_site.database.roles import platform_role
from threada_site.kernel import clock


def acknowledge_instance_log(anchor: Anchor, *, reason: str, although_it_matches: bool = False) -> AnchoredCheckpoint:
    """Let the instance log continue from the rows in the database, under a new origin. Raises `Conflict`."""
    with platform_role():
        with connection.cursor() as cursor:
            cursor.execute(LOCK_FOR_SEALING, [INSTANCE])
        checkpoint = restart_point(
            anchor,
            INSTANCE,
            size=instance_log_size(),
            read=instance_nodes(),
            although_it_matches=although_it_matches,
        ).checkpoint
        alarms = InstanceAlarm.objects.filter(acknowledged_at__isnull=True)
        alarms.update(acknowledged_at=clock.now(), reason=reason)
        anchor.append_acknowledgement(INSTANCE, checkpoint, reason=reason, at=clock.now())
    return checkpoint
