"""A tenant's log as rows: leaves and nodes of the tree, signed checkpoints, alarms, and publication targets."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from threada_site.database.constraints import AppendOnly, RowLevelSecurity, tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import TenantRow


class LogLeaf(TenantRow):
    """A sealed receipt: the id of the receipt, its log index (dense from 0), and the hash of its stored bytes.

    The leaf outlives its receipt: after retention deletes the receipt, the index stays and all other proofs remain
    valid. Unlike other tenant tables there is no second unique key: no row refers to a leaf, and every sealed receipt
    writes one.
    """

    index = models.BigIntegerField()
    hash = models.BinaryField(help_text="RFC 6962: SHA-256 of a zero byte and the receipt's body.")

    class Meta:
        constraints = [
            RowLevelSecurity(name="logleaf_rls"),
            models.UniqueConstraint(fields=["tenant", "index"], name="logleaf_index_key"),
            models.CheckConstraint(name="logleaf_index_counts", condition=models.Q(index__gte=0)),
            AppendOnly(name="logleaf_append_only"),
        ]

    def __str__(self) -> str:
        return f"{ids.public_id(ids.RECEIPT, self.id)} #{self.index}"


class LogNode(TenantRow):
    """A complete subtree of the log with height 8, 16, 24, …; `index` counts subtrees of that height from the left.

    With the leaves, every node of the tree is at most eight hash operations away, at the cost of one row per 255
    leaves.
    """

    level = models.SmallIntegerField()
    index = models.BigIntegerField()
    hash = models.BinaryField()

    class Meta:
        constraints = [
            RowLevelSecurity(name="lognode_rls"),
            models.UniqueConstraint(fields=["tenant", "level", "index"], name="lognode_place_key"),
            AppendOnly(name="lognode_append_only"),
        ]

    def __str__(self) -> str:
        return f"level {self.level}, {self.index}"


class Checkpoint(TenantRow):
    """A signed tree head (C2SP tlog-checkpoint), verbatim, with the public keys that signed it."""

    size = models.BigIntegerField()
    root = models.BinaryField()
    note = models.TextField(help_text="The signed note, as it was published.")
    verifier_keys = ArrayField(models.CharField(max_length=300), help_text="vkeys (C2SP signed-note).")
    signed_at = models.DateTimeField()

    class Meta:
        constraints = [*tenant_constraints("checkpoint"), AppendOnly(name="checkpoint_append_only")]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.CHECKPOINT, self.id)

    @property
    def origin(self) -> str:
        """Return the name of the log: the first line of the signed text."""
        return self.note.partition("\n")[0]


class LogAlarm(TenantRow):
    """A mismatch between the log in the database and its signed checkpoints. Sealing stops until an operator
    acknowledges it.

    The authoritative record is the sealer's file outside the database. This row informs console, status and metrics.
    """

    kind = models.CharField(max_length=16)
    signed_size = models.BigIntegerField(help_text="Size according to the anchor outside the database.")
    signed_root = models.BinaryField()
    found_size = models.BigIntegerField(help_text="Size according to the database.")
    found_root = models.BinaryField(
        null=True, help_text="Root at the signed size; null if the database has fewer leaves."
    )
    found_at = models.DateTimeField(default=clock.now)
    acknowledged_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            *tenant_constraints("logalarm"),
            models.UniqueConstraint(
                fields=["tenant"], name="logalarm_one_open", condition=models.Q(acknowledged_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} at {self.signed_size}"


class QuarantinedReceipt(TenantRow):
    """A queued receipt that the sealer refused. Has the id of the receipt.

    `receipt` contains all columns of the row, which is not among the receipts any more; null if there was none. An
    operator accepts or discards it with `manage.py quarantine`.
    """

    reason = models.CharField(max_length=32)
    refused_at = models.DateTimeField()
    receipt = models.JSONField(null=True)

    class Meta:
        constraints = [*tenant_constraints("quarantinedreceipt"), AppendOnly(name="quarantinedreceipt_append_only")]

    def __str__(self) -> str:
        return f"{self.public_id}: {self.reason}"

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.RECEIPT, self.id)


class QuarantineCount(TenantRow):
    """Number of refused receipts beyond those that the quarantine of a tenant holds."""

    receipts = models.BigIntegerField()
    last_at = models.DateTimeField()

    class Meta:
        constraints = [
            *tenant_constraints("quarantinecount"),
            models.UniqueConstraint(fields=["tenant"], name="quarantinecount_tenant_key"),
        ]

    def __str__(self) -> str:
        return f"{self.receipts} until {self.last_at:%Y-%m-%d}"


class CheckpointTarget(models.Model):
    """State of publishing to one target. Belongs to the instance, since the operator configures the targets."""

    id = models.UUIDField(primary_key=True, default=ids.new_uuid, editable=False)
    name = models.CharField(max_length=300, unique=True, help_text="Target without password.")
    published_at = models.DateTimeField(null=True)
    failing_since = models.DateTimeField(null=True)
    attempts = models.IntegerField(default=0, help_text="Failed attempts since the last success.")
    failure = models.CharField(max_length=32, blank=True)
    detail = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return self.name
