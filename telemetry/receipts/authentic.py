"""Receipts of cases that count as written by a process of the product.

A receipt counts if the signature of a role verifies. Without a signature it counts if it was sealed before its log
required signatures (`signed-from` in the checkpoints), or if an operator accepted it from quarantine.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from django.db import connection

from telemetry.models import LogLeaf, Receipt
from telemetry.receipts.signature import OriginState
from telemetry.receipts.signing import origins_of_rows
from telemetry.selectors import newest_checkpoint
from telemetry.tlog.checkpoint import Checkpoint
from telemetry.tlog.note import SignedNote
from threada_site.database.sets.shared_reads import shared
from threada_site.kernel import ids
from threada_site.kernel.json.canonical import sha256_hex

ACCEPTED: Final = "quarantine.accepted"
_OF_CASES: Final = """
SELECT r.work_item_id, r.id, r.body, r.signature, l."index"
  FROM unnest(%s::uuid[]) AS item (id)
 CROSS JOIN LATERAL (
       SELECT * FROM telemetry_receipt
        WHERE tenant_id = %s AND work_item_id = item.id AND kind = ANY(%s) AND id >= %s OFFSET 0) r
  LEFT JOIN LATERAL (
       SELECT "index" FROM telemetry_logleaf WHERE id = r.id AND tenant_id = r.tenant_id OFFSET 0) l ON true
 ORDER BY r.id
"""


@dataclass(frozen=True, slots=True)
class AuthenticReceipt:
    """A receipt that counts. `is_signed`: False for receipts of versions that did not sign."""

    id: uuid.UUID
    content: Mapping[str, Any]
    is_signed: bool


def authentic_receipts(
    items: Collection[uuid.UUID], *, kinds: Sequence[str], tenant_id: uuid.UUID
) -> dict[uuid.UUID, list[AuthenticReceipt]]:
    """Return the receipts of these kinds about each work item that count, ordered by id. Runs one statement; two more
    if a receipt is not signed."""
    first = ids.first_id_at(ids.instant_of(min(items)) - ids.CLOCKS_DIFFER)
    with connection.cursor() as cursor:
        cursor.execute(_OF_CASES, [sorted(items), tenant_id, list(kinds), first])
        rows = cursor.fetchall()
    origins = origins_of_rows([(row[1], bytes(row[2]), row[3]) for row in rows], tenant_id=tenant_id)
    found: dict[uuid.UUID, list[AuthenticReceipt]] = {item: [] for item in items}
    for (item, receipt_id, *_, index), (_, body, origin) in zip(rows, origins, strict=True):
        is_signed = origin.state is OriginState.AUTHENTIC
        if is_signed or _counts_without(origin.state, index, tenant_id) or _is_accepted(receipt_id, body, tenant_id):
            found[item].append(AuthenticReceipt(receipt_id, orjson.loads(body), is_signed))
    return found


def signed_from(tenant_id: uuid.UUID) -> int | None:
    """Return the index from which on receipts of the tenant's log have to be signed; None if none have to be yet.

    Receipts of a log without a checkpoint have to be.
    """
    checkpoint = newest_checkpoint(tenant_id)
    return 0 if checkpoint is None else Checkpoint.parse(SignedNote.parse(checkpoint.note).text).signed_from


def _counts_without(state: OriginState, index: int | None, tenant_id: uuid.UUID) -> bool:
    """Return True if a receipt with this index, or none, counts although no known key signed it."""
    size = shared(("signed from", tenant_id), lambda: signed_from(tenant_id))
    if size is None:
        return state is OriginState.UNSIGNED
    return index is not None and index < size


def _is_accepted(receipt_id: uuid.UUID, body: bytes, tenant_id: uuid.UUID) -> bool:
    accepted = shared(("accepted receipts", tenant_id), lambda: accepted_receipts(tenant_id))
    return accepted.get(ids.public_id(ids.RECEIPT, receipt_id)) == sha256_hex(body)


def accepted_receipts(tenant_id: uuid.UUID) -> dict[str, str]:
    """Return the receipts that operators accepted from quarantine: public id → digest of the body."""
    sealed = LogLeaf.objects.filter(tenant_id=tenant_id).values("id")
    rows = Receipt.objects.filter(tenant_id=tenant_id, kind=ACCEPTED, id__in=sealed).order_by("id")
    decisions = [(row[0], bytes(row[1]), row[2]) for row in rows.values_list("id", "body", "signature")]
    found: dict[str, str] = {}
    for _, body, origin in origins_of_rows(decisions, tenant_id=tenant_id):
        if origin.role == "command":
            found |= {one["receipt_id"]: one["sha256"] for one in orjson.loads(body)["inputs"]["receipts"]}
    return found
