"""Receipts of cases that count as written by a process of the product.

A receipt counts if the signature of a role verifies. Without a signature it counts if it was sealed before its log
required signatures (`signed-from` in the checkpoints), or if an operator accepted it from quarantine. Before a call the
anchor of this machine says from where on that is: rows of checkpoints can be written by SQL.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Final

import orjson
from django.conf import settings
from django.db import connection

from telemetry.log.anchor import Anchor, AnchoredCheckpoint
from telemetry.models import LogLeaf, Receipt
from telemetry.receipts.quarantine_decisions import ACCEPTED
from telemetry.receipts.signature import OriginState, ReceiptKeys, SignedBody, Verified, origin_of
from telemetry.receipts.signing import origins_of_rows, receipt_keyring
from telemetry.selectors import newest_checkpoint
from telemetry.tlog.checkpoint import Checkpoint
from telemetry.tlog.note import SignedNote
from threada_site.database.sets.shared_reads import shared
from threada_site.kernel import clock, ids
from threada_site.kernel.json.canonical import sha256_hex

LOG_ACKNOWLEDGED: Final = "log.acknowledged"
_RECENT: Final = timedelta(hours=1)
"""Age at which a record of the anchor without `signed-from` says nothing any more: a sealer signs every ten minutes."""
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


class Authenticity:
    """Decides which receipts of a tenant count. Reads what receipts without a valid signature need at most once."""

    def __init__(self, tenant_id: uuid.UUID, *, signed_from: Callable[[uuid.UUID], int | None] | None = None) -> None:
        """Create a decision. `signed_from`: source of the index from which on receipts of a tenant's log have to be
        signed; by default the anchor (`anchored_signed_from`)."""
        self._tenant_id = tenant_id
        self._read_signed_from = signed_from or anchored_signed_from

    def origins(self, rows: Sequence[tuple[uuid.UUID, bytes, str, int | None]]) -> list[OriginState | None]:
        """Return the state of the signature of each receipt that counts, and None for the others.

        `rows`: id, body, signature, and index in the log or None.
        """
        signed = origins_of_rows([row[:3] for row in rows], tenant_id=self._tenant_id)
        return [
            origin.state if origin.state is OriginState.AUTHENTIC or self._counts_without(row, origin.state) else None
            for row, (_, _, origin) in zip(rows, signed, strict=True)
        ]

    def _counts_without(self, row: tuple[uuid.UUID, bytes, str, int | None], state: OriginState) -> bool:
        """Return True if a receipt counts although no known key signed it."""
        receipt_id, body, _, index = row
        if self._signed_from is None:
            if state is OriginState.UNSIGNED:
                return True
        elif index is not None and index < self._signed_from:
            return True
        return self._accepted.get(ids.public_id(ids.RECEIPT, receipt_id)) == sha256_hex(body)

    @cached_property
    def _signed_from(self) -> int | None:
        return self._read_signed_from(self._tenant_id)

    @cached_property
    def _accepted(self) -> dict[str, str]:
        return accepted_receipts(self._tenant_id)


def authentic_receipts(
    items: Collection[uuid.UUID],
    *,
    kinds: Sequence[str],
    tenant_id: uuid.UUID,
    authenticity: Authenticity | None = None,
) -> dict[uuid.UUID, list[AuthenticReceipt]]:
    """Return the receipts of these kinds about each work item that count, ordered by id. Runs one statement; two more
    if a receipt is not signed. `authenticity`: by default that before a call."""
    first = ids.first_id_at(ids.instant_of(min(items)) - ids.CLOCKS_DIFFER)
    with connection.cursor() as cursor:
        cursor.execute(_OF_CASES, [sorted(items), tenant_id, list(kinds), first])
        rows = [(item, receipt_id, bytes(body), *more) for item, receipt_id, body, *more in cursor.fetchall()]
    authenticity = authenticity or shared(("authenticity", tenant_id), lambda: Authenticity(tenant_id))
    found: dict[uuid.UUID, list[AuthenticReceipt]] = {item: [] for item in items}
    for (item, receipt_id, body, *_), state in zip(rows, authenticity.origins([row[1:] for row in rows]), strict=True):
        if state is not None:
            is_signed = state is OriginState.AUTHENTIC
            found[item].append(AuthenticReceipt(receipt_id, orjson.loads(body), is_signed))
    return found


def anchored_signed_from(tenant_id: uuid.UUID) -> int | None:
    """Return the index from which on receipts of the tenant's log have to be signed, according to the anchor.

    All have to be, also those of earlier versions, if this machine has no anchor of the log that it can read, or an old
    one. None: none have to be yet, because processes of an earlier version may run.
    """
    try:
        kept = _anchored(tenant_id)
    except (OSError, ValueError, KeyError):
        return 0
    if kept is None or kept.signed_from is not None:
        return 0 if kept is None else kept.signed_from
    is_recent = kept.complete_until is not None and kept.complete_until > clock.now() - _RECENT
    return None if is_recent else 0


def verified_signed_from(tenant_id: uuid.UUID) -> int | None:
    """Return the index from which on receipts of the tenant's log have to be signed; None if none have to be yet.

    For verifications, which compare the rows of checkpoints with their signatures too. The anchor counts first.
    Receipts of a log without a checkpoint have to be signed.
    """
    kept = _anchored(tenant_id)
    if kept is not None and kept.signed_from is not None:
        return kept.signed_from
    checkpoint = newest_checkpoint(tenant_id)
    return 0 if checkpoint is None else Checkpoint.parse(SignedNote.parse(checkpoint.note).text).signed_from


def _anchored(tenant_id: uuid.UUID) -> AnchoredCheckpoint | None:
    return Anchor(settings.THREADA_ANCHOR_DIR).last(ids.public_id(ids.TENANT, tenant_id))


type KeysAt = Callable[[int | None], ReceiptKeys]
"""Function that returns the public keys that count for the receipt at an index of the log; None for one that is not
sealed."""


def accepted_receipts(tenant_id: uuid.UUID, *, keys_at: KeysAt | None = None) -> dict[str, str]:
    """Return the receipts that operators accepted from quarantine: public id → digest of the body.

    `keys_at`: by default the keys of this process count.
    """
    decisions = _sealed_of_commands(ACCEPTED, tenant_id, keys_at)
    return {one["receipt_id"]: one["sha256"] for content in decisions for one in content["inputs"]["receipts"]}


def continued_logs(tenant_id: uuid.UUID, *, keys_at: KeysAt) -> dict[str, int]:
    """Return the logs that operators continued: origin → number of receipts from before."""
    outcomes = [content["outcome"] for content in _sealed_of_commands(LOG_ACKNOWLEDGED, tenant_id, keys_at)]
    return {outcome["origin"]: outcome["size"] for outcome in outcomes}


def _sealed_of_commands(kind: str, tenant_id: uuid.UUID, keys_at: KeysAt | None) -> list[dict[str, Any]]:
    """Return the contents of sealed receipts of a kind that commands signed, ordered by id."""
    rows = Receipt.objects.filter(tenant_id=tenant_id, kind=kind).order_by("id").values_list("id", "body", "signature")
    leaves = LogLeaf.objects.filter(tenant_id=tenant_id, id__in=[row[0] for row in rows])
    indexes = dict(leaves.values_list("id", "index"))
    tenant = ids.public_id(ids.TENANT, tenant_id)
    verified: Verified = {}
    found = []
    for receipt_id, body, signature in rows:
        if receipt_id not in indexes:
            continue
        keys = keys_at(indexes[receipt_id]) if keys_at else receipt_keyring().public()
        if origin_of(SignedBody(bytes(body), signature), tenant, keys, verified).role == "command":
            found.append(orjson.loads(bytes(body)))
    return found
