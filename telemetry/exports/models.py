"""Exports as rows."""

from __future__ import annotations

from datetime import datetime

from django.db import models

from telemetry.exports.formats import file_extension
from telemetry.lifecycle import ExportStatus
from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import TenantRow


class TelemetryExport(TenantRow):
    """A bounded selection of receipts, written once to a file. Every download serves the same bytes.

    The file contains the receipts committed when writing started (one statement, one snapshot). `attempt` is a fencing
    token: it is part of the file name, and a worker with an older value cannot change the export.
    """

    requested_by = models.UUIDField()
    filters = models.JSONField(default=dict)
    from_id = models.UUIDField(help_text="The first receipt id of the window.")
    before_id = models.UUIDField(help_text="The first receipt id after the window.")
    format = models.CharField(max_length=32, default="ndjson")
    compression = models.CharField(max_length=8, default="none")
    created_at = models.DateTimeField(default=clock.now)
    status = models.CharField(
        max_length=16,
        choices=[(entry.value, entry.value) for entry in ExportStatus],
        default=ExportStatus.REQUESTED,
        db_default=ExportStatus.REQUESTED.value,
    )
    attempt = models.PositiveIntegerField(default=0, db_default=0)
    lease_until = models.DateTimeField(null=True, help_text="End of the worker's lease.")
    rows_expected = models.BigIntegerField(null=True, help_text="The planner's estimate.")
    rows = models.BigIntegerField(default=0, db_default=0)
    size = models.BigIntegerField(default=0, db_default=0, help_text="Size of the file in bytes, so far or in total.")
    sha256 = models.CharField(max_length=64, blank=True, db_default="")
    failure = models.CharField(max_length=64, blank=True, db_default="", help_text="A reason code.")
    failure_detail = models.CharField(max_length=300, blank=True, db_default="")
    started_at = models.DateTimeField(null=True)
    ready_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            *tenant_constraints("telemetryexport"),
            models.CheckConstraint(
                name="telemetryexport_ready_is_whole",
                condition=~models.Q(status=ExportStatus.READY)
                | models.Q(ready_at__isnull=False, expires_at__isnull=False) & ~models.Q(sha256=""),
            ),
        ]
        indexes = [
            models.Index(
                fields=["status", "lease_until"],
                name="telemetryexport_open_idx",
                condition=models.Q(status__in=[ExportStatus.REQUESTED, ExportStatus.RUNNING]),
            ),
            models.Index(
                fields=["expires_at"],
                name="telemetryexport_expiring_idx",
                condition=models.Q(status=ExportStatus.READY),
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.EXPORT, self.id)

    @property
    def created_after(self) -> datetime:
        """Return the start of the window (inclusive)."""
        return ids.instant_of(self.from_id)

    @property
    def created_before(self) -> datetime:
        """Return the end of the window (exclusive)."""
        return ids.instant_of(self.before_id)

    @property
    def file_name(self) -> str:
        """Return the name under which browsers save the download."""
        return f"{self.public_id}.{file_extension(self.format, self.compression)}"
