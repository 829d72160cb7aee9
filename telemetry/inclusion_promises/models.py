"""Endorsements of the inclusion promise key as rows."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import AppendOnly, InstanceRows
from threada_site.kernel import ids


class InclusionPromiseKey(models.Model):
    """The sealer's endorsement of a key that signs inclusion promises. The current sealing keys sign the newest row of
    a key."""

    id = models.UUIDField(primary_key=True, default=ids.new_uuid, editable=False)
    public_key = models.BinaryField()
    note = models.TextField(help_text="The signed note.")
    signed_at = models.DateTimeField()

    class Meta:
        constraints = [
            InstanceRows(name="inclusionpromisekey_rls", readable="everybody"),
            AppendOnly(name="inclusionpromisekey_append_only"),
        ]

    def __str__(self) -> str:
        return self.note.partition("\n")[0]
