"""Signing of new receipts, and the origin of stored ones."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings

from telemetry.models import Receipt
from telemetry.receipts.keyring import ReceiptKeyring, replaced_keyring
from telemetry.receipts.signature import Origin, SignedBody, origins_of
from threada_site.kernel import ids
from threada_site.kernel.keyring import ReceiptKeyProblem


@dataclass(frozen=True, slots=True)
class SignReceipts:
    """Signs receipts of one tenant and role: one signature for all that are written by one statement."""

    tenant_id: uuid.UUID
    role: str

    def __call__(self, rows: list[Any]) -> None:
        """Set the column `signature` of unsaved receipts. Raise `ReceiptKeyProblem`."""
        signer = receipt_keyring().signer(self.role)
        signatures = signer.sign([row.body for row in rows], tenant=ids.public_id(ids.TENANT, self.tenant_id))
        for row, signature in zip(rows, signatures, strict=True):
            row.signature = signature


class ReceiptOrigin(NamedTuple):
    """A stored receipt and its origin."""

    id: uuid.UUID
    body: bytes
    origin: Origin


def origins_of_receipts(receipt_ids: Iterable[uuid.UUID], *, tenant_id: uuid.UUID) -> list[ReceiptOrigin]:
    """Return the stored receipts with these ids, in the order of their ids, with their origins. One statement."""
    rows = (
        Receipt.objects.filter(tenant_id=tenant_id, id__in=list(receipt_ids))
        .order_by("id")
        .values_list("id", "body", "signature")
    )
    return origins_of_rows([(row[0], bytes(row[1]), row[2]) for row in rows], tenant_id=tenant_id)


def origins_of_rows(rows: Sequence[tuple[uuid.UUID, bytes, str]], *, tenant_id: uuid.UUID) -> list[ReceiptOrigin]:
    """Return the origins of receipts that were read already: id, body, signature."""
    found = origins_of(
        [SignedBody(body, signature) for _, body, signature in rows],
        tenant=ids.public_id(ids.TENANT, tenant_id),
        keys=receipt_keyring().public(),
    )
    return [ReceiptOrigin(row[0], row[1], origin) for row, origin in zip(rows, found, strict=True)]


def receipt_keyring() -> ReceiptKeyring:
    """Return the keys of this process."""
    return replaced_keyring() or _keyring(
        settings.THREADA_DATA_DIR, settings.THREADA_RECEIPT_KEY, settings.THREADA_RECEIPT_PUBLIC_KEYS
    )


def current_public_keys() -> list[str]:
    """Return the public keys that are not retired, in one text; nothing if they cannot be read."""
    try:
        current = sorted(str(key) for key in receipt_keyring().public() if key.until is None)
    except ReceiptKeyProblem:
        return []
    return [" ".join(current)] if current else []


def web_signing_problem() -> str | None:
    """Return why the web cannot sign receipts so that they verify, with what to do; None if it can."""
    return receipt_keyring().problem("web")


@lru_cache(maxsize=4)
def _keyring(data_dir: Path, private: str, public: str) -> ReceiptKeyring:
    return ReceiptKeyring(data_dir / "keys", private=private, public=public)
