"""Removal of receipts by retention. Their leaves stay in the log, so that the proofs of other receipts remain valid."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence

from django.db.models import QuerySet

from telemetry.models import AccountEvent, LogLeaf, Receipt, ReceiptReason, RemovedReceipt
from telemetry.selectors import newest_checkpoint
from telemetry.tlog.hashing import leaf_hash
from threada_site.database.bulk_delete import delete_rows
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import sha256_hex


def signed_leaves(tenant_id: uuid.UUID) -> QuerySet[LogLeaf]:
    """Return the leaves covered by the newest checkpoint, which third parties can verify."""
    checkpoint = newest_checkpoint(tenant_id)
    return LogLeaf.objects.filter(tenant_id=tenant_id, index__lt=checkpoint.size if checkpoint else 0)


def remove_receipts(receipt_ids: Sequence[uuid.UUID], *, batch_id: uuid.UUID, ctx: ActingContext) -> str:
    """Delete signed receipts and store id and digest of each. Return the digest over all of them for the batch's
    receipt.

    This is the only code that deletes receipts; it uses the platform role for that statement only. Raises
    `ReceiptMismatch` if a body differs from its sealed hash or was never sealed, since the removal would hide that.
    """
    require_unit_of_work(ctx.tenant_id)
    removed = []
    leaves = dict(signed_leaves(ctx.tenant_id).filter(id__in=receipt_ids).values_list("id", "hash"))
    rows = Receipt.objects.filter(tenant_id=ctx.tenant_id, id__in=receipt_ids).order_by("id")
    for receipt_id, body, body_sha256 in rows.values_list("id", "body", "body_sha256").iterator(chunk_size=500):
        leaf = leaves.get(receipt_id)
        if leaf is None or bytes(leaf) != leaf_hash(bytes(body)) or sha256_hex(bytes(body)) != body_sha256:
            raise errors.ReceiptMismatch(
                f"The receipt {ids.public_id(ids.RECEIPT, receipt_id)} is not what was sealed. Run verify_receipts; "
                "nothing was removed."
            )
        removed.append((receipt_id, body_sha256))
    now = clock.now()
    RemovedReceipt.objects.bulk_create(
        [
            RemovedReceipt(
                id=receipt_id, tenant_id=ctx.tenant_id, batch_id=batch_id, body_sha256=body_sha256, removed_at=now
            )
            for receipt_id, body_sha256 in removed
        ],
        batch_size=1000,
    )
    receipt_ids = [receipt_id for receipt_id, _ in removed]
    delete_rows(AccountEvent.objects.filter(tenant_id=ctx.tenant_id, receipt_id__in=receipt_ids))
    delete_rows(ReceiptReason.objects.filter(tenant_id=ctx.tenant_id, receipt_id__in=receipt_ids))
    with platform_role():
        delete_rows(Receipt.objects.filter(tenant_id=ctx.tenant_id, id__in=receipt_ids))
    return removal_sha256(removed)


def removal_sha256(removed: Iterable[tuple[uuid.UUID, str]]) -> str:
    """Return the digest of a batch: SHA-256 over one line `<receipt id> <body sha256>` per receipt, ordered by id."""
    digest = hashlib.sha256()
    for receipt_id, body_sha256 in sorted(removed):
        digest.update(f"{ids.public_id(ids.RECEIPT, receipt_id)} {body_sha256}\n".encode())
    return digest.hexdigest()
