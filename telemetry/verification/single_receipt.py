"""Verification of one receipt against its digest and the signed log, for the console."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from telemetry.log.rows import LogIncomplete
from telemetry.models import Receipt
from telemetry.selectors import newest_checkpoint, proof_of
from telemetry.tlog.note import VerifierKey
from threada_site.kernel import errors
from threada_site.kernel.json.canonical import sha256_hex


@dataclass(frozen=True, slots=True)
class Verified:
    """Result of the verification. `place` is None if the receipt is not sealed yet."""

    sha256: str
    place: int | None = None
    size: int = 0
    signed_at: datetime | None = None


def verify_receipt(receipt: Receipt) -> Verified:
    """Hash the stored bytes and verify them under the newest checkpoint and its keys.

    Raises `ReceiptDoesNotHold` with the mismatch.
    """
    body = bytes(receipt.body)
    digest = sha256_hex(body)
    if digest != receipt.body_sha256:
        raise errors.ReceiptDoesNotHold(f"The stored bytes hash to {digest}, not to {receipt.body_sha256}.")
    checkpoint = newest_checkpoint(receipt.tenant_id)
    try:
        proof = proof_of(receipt)
    except errors.ReceiptNotSealed:
        return Verified(digest)
    except LogIncomplete as missing:
        raise errors.ReceiptDoesNotHold(f"The proof cannot be built: {missing}.") from missing
    assert checkpoint is not None  # noqa: S101  (there is no proof without one)
    try:
        proof.verify(
            body,
            [VerifierKey.parse(key) for key in checkpoint.verifier_keys],
            origin=checkpoint.note.partition("\n")[0],
        )
    except ValueError as wrong:
        raise errors.ReceiptDoesNotHold(f"The log does not prove the stored bytes: {wrong}.") from wrong
    return Verified(digest, proof.index + 1, checkpoint.size, checkpoint.signed_at)
