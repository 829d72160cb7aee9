"""The ledger: receipts, the queue of what is not sealed yet, and exports."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from telemetry.log_models import Checkpoint, CheckpointTarget, LogAlarm, LogLeaf, LogNode
from threada_site.kernel import clock, ids
from threada_site.tenancy.constraints import AppendOnly, tenant_constraints
from threada_site.tenancy.models import TenantRow

__all__ = [
    "Checkpoint",
    "CheckpointTarget",
    "LogAlarm",
    "LogLeaf",
    "LogNode",
    "Receipt",
    "SealQueueEntry",
    "TelemetryExport",
]


class Receipt(TenantRow):
    """One step of governed work, for good.

    `body` is the canonical JSON (RFC 8785) of the five blocks actor, inputs, evidence, policy, outcome, stored and
    hashed as bytes. The other columns are projections of it for the documented filters and never say more than it.
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
    """A receipt that waits to be sealed into the tenant's log; has the receipt's id."""

    class Meta:
        constraints = tenant_constraints("sealqueueentry")

    def __str__(self) -> str:
        return ids.public_id(ids.RECEIPT, self.id)


class TelemetryExport(TenantRow):
    """A bounded selection of receipts that can be downloaded; the selection is fixed, so every download is the same."""

    requested_by = models.UUIDField()
    filters = models.JSONField(default=dict)
    from_id = models.UUIDField(help_text="The first receipt id of the window.")
    before_id = models.UUIDField(help_text="The first receipt id after the window.")
    format = models.CharField(max_length=16, default="ndjson")
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = tenant_constraints("telemetryexport")

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.EXPORT, self.id)
