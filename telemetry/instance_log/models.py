"""The instance log as rows. Its leaves are the tenants' signed checkpoints, so that a dropped tenant is detected.

Rows belong to the instance; only the platform role writes them. Every tenant may read hashes and checkpoints, since
proofs are made of them and they reveal nothing. An entry contains a tenant's id and log size; only that tenant reads
it.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from threada_site.database.constraints import AppendOnly, InstanceRows
from threada_site.kernel import clock, ids


class InstanceQueueEntry(models.Model):
    """A checkpoint that is not in the instance log yet. Inserted together with the checkpoint, with the same id."""

    id = models.UUIDField(primary_key=True)

    class Meta:
        constraints = [InstanceRows(name="instancequeueentry_rls")]

    def __str__(self) -> str:
        return ids.public_id(ids.CHECKPOINT, self.id)


class InstanceNode(models.Model):
    """A hash of the tree: of a leaf (level 0, dense from index 0), or of a complete subtree of level 8, 16, 24, …."""

    pk = models.CompositePrimaryKey("level", "index")
    level = models.SmallIntegerField()
    index = models.BigIntegerField()
    hash = models.BinaryField()

    class Meta:
        constraints = [
            InstanceRows(name="instancenode_rls", readable="everybody"),
            AppendOnly(name="instancenode_append_only"),
        ]

    def __str__(self) -> str:
        return f"level {self.level}, {self.index}"


class InstanceEntry(models.Model):
    """The content of a leaf: a tenant's checkpoint, byte for byte. A copy, so that it outlives its tenant."""

    index = models.BigIntegerField(primary_key=True)
    log_id = models.UUIDField(
        help_text="Tenant of the checkpoint; not a foreign key, so that the entry outlives the tenant."
    )
    checkpoint_id = models.UUIDField(unique=True)
    note = models.TextField(help_text="The signed note.")

    class Meta:
        constraints = [
            InstanceRows(name="instanceentry_rls", readable="tenant"),
            AppendOnly(name="instanceentry_append_only"),
        ]
        indexes = [models.Index(fields=["log_id", "index"], name="instanceentry_log_idx")]

    def __str__(self) -> str:
        return f"{ids.public_id(ids.CHECKPOINT, self.checkpoint_id)} #{self.index}"


class InstanceCheckpoint(models.Model):
    """A signed checkpoint of the instance log, verbatim, with the public keys that signed it."""

    id = models.UUIDField(primary_key=True, default=ids.new_uuid, editable=False)
    size = models.BigIntegerField()
    root = models.BinaryField()
    note = models.TextField(help_text="The signed note, as it was published.")
    verifier_keys = ArrayField(models.CharField(max_length=300), help_text="vkeys (C2SP signed-note).")
    signed_at = models.DateTimeField()

    class Meta:
        constraints = [
            InstanceRows(name="instancecheckpoint_rls", readable="everybody"),
            AppendOnly(name="instancecheckpoint_append_only"),
        ]

    def __str__(self) -> str:
        return f"{self.origin} of {self.size}"

    @property
    def origin(self) -> str:
        """Return the name of the log: the first line of the signed text."""
        return self.note.partition("\n")[0]


class InstanceAlarm(models.Model):
    """A mismatch between the instance log in the database and its signed checkpoints. See `LogAlarm`."""

    id = models.UUIDField(primary_key=True, default=ids.new_uuid, editable=False)
    kind = models.CharField(max_length=16)
    signed_size = models.BigIntegerField()
    signed_root = models.BinaryField()
    found_size = models.BigIntegerField()
    found_root = models.BinaryField(null=True)
    found_at = models.DateTimeField(default=clock.now)
    acknowledged_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            InstanceRows(name="instancealarm_rls"),
            models.UniqueConstraint(
                fields=["acknowledged_at"],
                name="instancealarm_one_open",
                condition=models.Q(acknowledged_at__isnull=True),
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} at {self.signed_size}"
