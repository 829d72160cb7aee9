"""Decisions of operators about receipts in quarantine: their receipts tell the sealer what to do.

Pure. Imports no Django.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import orjson

from telemetry.log.store import QueuedReceipt
from threada_site.kernel import ids

ACCEPTED: Final = "quarantine.accepted"
DISCARDED: Final = "quarantine.discarded"


@dataclass(frozen=True, slots=True)
class QuarantineDecision:
    """Decision about one receipt. `sha256` is the digest of its body; empty if there was no receipt."""

    receipt_id: uuid.UUID
    sha256: str
    accepts: bool


def quarantine_decisions(receipts: Iterable[QueuedReceipt]) -> list[QuarantineDecision]:
    """Return the decisions in authentic receipts that a command wrote."""
    found = []
    for receipt in receipts:
        body = bytes(receipt.body or b"")
        if b'"kind":"quarantine.' not in body:
            continue
        content = orjson.loads(body)
        if content["kind"] not in (ACCEPTED, DISCARDED) or content["actor"]["entry_point"] != "command":
            continue
        for one in content["inputs"]["receipts"]:
            receipt_id = ids.parse_public_id(ids.RECEIPT, one["receipt_id"])
            if receipt_id is not None:
                found.append(QuarantineDecision(receipt_id, one["sha256"], content["kind"] == ACCEPTED))
    return found
