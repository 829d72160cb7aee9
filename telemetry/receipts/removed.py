"""Records of receipts removed by retention: id, digest and batch. Pure except for the model."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable

from django.db import models

from threada_site.database.constraints import AppendOnly, tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import TenantRow


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


def removal_sha256(removed: Iterable[tuple[uuid.UUID, str]]) -> str:
    """Return the digest of a batch: SHA-256 over one line `<receipt id> <body sha256>` per receipt, ordered by id."""
    digest = hashlib.sha256()
    for receipt_id, body_sha256 in sorted(removed):
        digest.update(f"{ids.public_id(ids.RECEIPT, receipt_id)} {body_sha256}\n".encode())
    return digest.hexdigest()
