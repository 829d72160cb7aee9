"""Receipts as rows: receipts, the queue of unsealed ones, and ids and digests of removed ones."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from threada_site.database.constraints import AppendOnly, InstanceRows, tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import TenantRow


class Receipt(TenantRow):
    """One step of governed work. Never changed.

    `body` is the canonical JSON (RFC 8785) of the five blocks actor, inputs, evidence, policy and outcome, stored and
    hashed as bytes. `signature` (`telemetry/receipts/signature.py`) tells the role of the process that wrote it; it is
    empty in receipts of versions that did not sign. The other columns are projections of `body` for the documented
    filters and contain nothing else.
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
    signature = models.TextField(default="", db_default="", blank=True)

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


class RemovedReceipt(TenantRow):
    """A receipt whose body retention removed. Has the id of the receipt. Its leaf stays in the log.

    `batch_id` names the removal. The receipt `retention.batch_applied` contains the digest of all rows of its batch
    (`removal_sha256`), so that a body that disappeared otherwise cannot be presented as removed by retention.
    """

    batch_id = models.UUIDField()
    body_sha256 = models.CharField(max_length=64)
    removed_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [*tenant_constraints("removedreceipt"), AppendOnly(name="removedreceipt_append_only")]
        indexes = [models.Index(fields=["tenant", "batch_id", "id"], name="removedreceipt_batch_idx")]

    def __str__(self) -> str:
        return ids.public_id(ids.RECEIPT, self.id)


class ReceiptKeyNote(models.Model):
    """The sealer's endorsement of the public keys of receipts. The current sealing keys sign the newest row."""

    id = models.UUIDField(primary_key=True, default=ids.new_uuid, editable=False)
    note = models.TextField(help_text="The signed note.")
    signed_at = models.DateTimeField()

    class Meta:
        constraints = [
            InstanceRows(name="receiptkeynote_rls", readable="everybody"),
            AppendOnly(name="receiptkeynote_append_only"),
        ]

    def __str__(self) -> str:
        return self.note.partition("\n")[0]
