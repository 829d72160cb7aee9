"""Sweeps over the exports of all tenants. They enqueue jobs and delete files without an export."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db.models import Q

from telemetry.exports.request import MAKE
from telemetry.lifecycle import ExportStatus
from telemetry.models import TelemetryExport
from threada_site.database.roles import platform_role
from threada_site.jobs.enqueue import EXPORT_QUEUE, MAINTENANCE_QUEUE, enqueue, live_jobs
from threada_site.kernel import ids

BATCH: Final = 500
EXPIRE: Final = "telemetry.expire_export"
ORPHAN_AGE: Final = timedelta(hours=1)


def enqueue_due_exports(*, now: datetime) -> int:
    """Enqueue exports that have no live job, and exports whose worker was lost. Return the number of jobs."""
    due = Q(status=ExportStatus.REQUESTED) | Q(status=ExportStatus.RUNNING, lease_until__lte=now)
    return _enqueue_due(MAKE, EXPORT_QUEUE, due)


def enqueue_due_expiry(*, now: datetime) -> int:
    """Enqueue the deletion of the files of expired exports. Return the number of jobs."""
    return _enqueue_due(EXPIRE, MAINTENANCE_QUEUE, Q(status=ExportStatus.READY, expires_at__lte=now))


def delete_orphans(*, now: float | None = None) -> int:
    """Delete files that belong to no ready or running export. Return the number of files.

    Such files remain after a rollback, a dead worker or a failed deletion.
    """
    folder: Path = settings.THREADA_EXPORT_DIR
    before = (time.time() if now is None else now) - ORPHAN_AGE.total_seconds()
    old = {path: path.name.partition(".")[0] for path in folder.glob("*/te_*") if path.stat().st_mtime < before}
    named = {name: ids.parse_public_id(ids.EXPORT, name) for name in set(old.values())}
    with platform_role():
        owned: dict[Any, tuple[str, int]] = {
            row_id: (status, attempt)
            for row_id, status, attempt in TelemetryExport.objects.filter(
                id__in=[found for found in named.values() if found],
                status__in=[ExportStatus.READY, ExportStatus.RUNNING],
            ).values_list("id", "status", "attempt")
        }
    orphans = [path for path, name in old.items() if not _is_owned(path, owned.get(named[name]))]
    for path in orphans:
        path.unlink(missing_ok=True)
    return len(orphans)


def _is_owned(path: Path, owner: tuple[str, int] | None) -> bool:
    return owner is not None and path.name.split(".")[1] == str(owner[1])


def _enqueue_due(task: str, queue: str, due: Q) -> int:
    with platform_role():
        found = list(TelemetryExport.objects.filter(due).order_by("id").values_list("tenant_id", "id")[:BATCH])
        live = live_jobs(task, "export_id", [str(export_id) for _, export_id in found])
        missing = [(tenant_id, export_id) for tenant_id, export_id in found if str(export_id) not in live]
        for tenant_id, export_id in missing:
            enqueue(task, tenant_id=tenant_id, queue=queue, export_id=str(export_id))
    return len(missing)
