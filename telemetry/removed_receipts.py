"""What remains of a receipt that retention removed: its id, its digest, and which run took it. Pure but for the row."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable

from django.db import models

from threada_site.database.constraints import AppendOnly, tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import TenantRow


class RemovedReceipt(TenantRow):
    """A receipt whose body retention removed; has the receipt's id. Its leaf stays in the log.

    `batch_id` names the removal; the receipt `retention.batch_applied` carries the digest of all rows of its batch
    (`removal_sha256`), so that a body that vanished otherwise cannot be passed off as one that retention took.
    """

    batch_id = models.UUIDField()
    body_sha256 = models.CharField(max_length=64)
    removed_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [*tenant_constraints("removedreceipt"), AppendOnly(name="removedreceipt_append_only")]
        indexes = [models.Index(fields=["tenant", "batch_id", "id"], name="removedreceipt_batch_idx")]

    def __str__(self) -> str:
        return ids.public_id(ids.RECEIPT, self.id)


def removal_sha256(removed: Iterable[tuple[uuid.UUID, str]]) -> str:
    """The digest over a batch: SHA-256 of one line `<receipt id> <body sha256>` each, in the order of the ids."""
    digest = hashlib.sha256()
    for receipt_id, body_sha256 in sorted(removed):
        digest.update(f"{ids.public_id(ids.RECEIPT, receipt_id)} {body_sha256}\n".encode())
    return digest.hexdigest()
