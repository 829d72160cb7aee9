"""Receipts, the queue of unsealed receipts, and exports."""

from __future__ import annotations

from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.db import models

from telemetry.deliveries.models import Delivery
from telemetry.exports.formats import file_extension
from telemetry.instance_log.models import (
    InclusionPromiseKey,
    InstanceAlarm,
    InstanceCheckpoint,
    InstanceEntry,
    InstanceNode,
    InstanceQueueEntry,
)
from telemetry.lifecycle import ExportStatus
from telemetry.log.models import Checkpoint, CheckpointTarget, LogAlarm, LogLeaf, LogNode
from telemetry.receipts.removed import RemovedReceipt
from telemetry.summary.models import SummaryCount, SummaryPosition, SummaryRollup
from threada_site.database.constraints import AppendOnly, tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import TenantRow

__all__ = [
    "Checkpoint",
    "CheckpointTarget",
    "Delivery",
    "InclusionPromiseKey",
    "InstanceAlarm",
    "InstanceCheckpoint",
    "InstanceEntry",
    "InstanceNode",
    "InstanceQueueEntry",
    "LogAlarm",
    "LogLeaf",
    "LogNode",
    "Receipt",
    "RemovedReceipt",
    "SealQueueEntry",
    "SummaryCount",
    "SummaryPosition",
    "SummaryRollup",
    "TelemetryExport",
]


class Receipt(TenantRow):
    """One step of governed work. Never changed.

    `body` is the canonical JSON (RFC 8785) of the five blocks actor, inputs, evidence, policy and outcome, stored and
    hashed as bytes. The other columns are projections of `body` for the documented filters and contain nothing else.
    """

    kind = models.CharField(max_length=64)
    occurred_at = models.DateTimeField()
    actor_id = models.UUIDField(null=True)
    work_item_id = models.UUIDField(null=True)
    execution_id = models.UUIDField(null=True)
    workflow = models.CharField(max_length=63, blank=True)
    channel = models.CharField(max_length=63, blank=True)
    integration = models.CharField(max_length=63, blank=True)
    status = models.CharField(max_length=32, blank=True)
    policy_version_id = models.UUIDField(null=True)
    reason_codes = ArrayField(models.CharField(max_length=64), default=list)
    correlation_id = models.CharField(max_length=128, blank=True)
    body = models.BinaryField()
    body_sha256 = models.CharField(max_length=64)

    class Meta:
        constraints = [*tenant_constraints("receipt"), AppendOnly(name="receipt_append_only")]
        indexes = [
            models.Index(
                fields=["tenant", column, "id"], name=f"receipt_{name}_idx", condition=~models.Q(**{column: empty})
            )
            for column, name, empty in (
                ("workflow", "workflow", ""),
                ("channel", "channel", ""),
                ("status", "status", ""),
                ("integration", "integration", ""),
            )
        ] + [
            models.Index(
                fields=["tenant", column, "id"],
                name=f"receipt_{name}_idx",
                condition=models.Q(**{f"{column}__isnull": False}),
            )
            for column, name in (("work_item_id", "work_item"), ("policy_version_id", "policy_version"))
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.RECEIPT, self.id)


class SealQueueEntry(TenantRow):
    """A receipt that is not sealed into the tenant's log yet. Has the id of the receipt."""

    class Meta:
        constraints = tenant_constraints("sealqueueentry")

    def __str__(self) -> str:
        return ids.public_id(ids.RECEIPT, self.id)


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
