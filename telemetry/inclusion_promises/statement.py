"""Inclusion promises: signed statements that receipts will be sealed, like the signed certificate timestamps of
Certificate Transparency (RFC 6962, section 3.2). Pure.

A promise is a signed note (https://c2sp.org/signed-note) of the key `<instance>/promises`:

    <instance>/promises
    log <the tenant's log: its origin before any restoration>
    given <RFC 3339, whole seconds>
    due <RFC 3339, whole seconds>
    receipt <id> <base64 of the RFC 6962 leaf hash of its bytes>        (one line per receipt, at least one)

The web process owns this key. The sealer, whose key the web process never reads, endorses it with a note of
`<instance>/promise-key`:

    <instance>/promise-key
    <verifier key of <instance>/promises>
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from telemetry.receipts.collection import RecordedReceipt
from telemetry.tlog.checkpoint import log_origin
from telemetry.tlog.hashing import leaf_hash
from telemetry.tlog.note import SignedNote, Signer, VerifierKey, sign
from telemetry.tlog.texts import encoded

PROMISES: Final = "promises"
PROMISE_KEY: Final = "promise-key"


@lru_cache(maxsize=4)
def inclusion_promise_private_key(secret: str) -> Ed25519PrivateKey:
    """Return the signing key derived from `secret`, a long random text. The same secret gives the same key on every
    machine."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"threada promise key\n{secret}".encode()).digest())


def inclusion_promise_public_key(secret: str) -> bytes:
    """Return the public key derived from `secret`."""
    return inclusion_promise_private_key(secret).public_key().public_bytes_raw()


def endorsement_text(instance: str, public_key: bytes) -> str:
    """Return the text of the endorsement that the sealer signs, so that promises can be verified with the sealer's key
    alone."""
    return f"{instance}/{PROMISE_KEY}\n{VerifierKey(f'{instance}/{PROMISES}', public_key)}\n"


def sign_inclusion_promise(
    receipts: Sequence[RecordedReceipt], *, instance: str, tenant: str, secret: str, given: datetime, due: datetime
) -> SignedNote:
    """Return a signed note that these receipts of `tenant` (a public id) will be in its log by `due`."""
    lines = (
        f"{instance}/{PROMISES}",
        f"log {log_origin(instance, tenant)}",
        f"given {given:%Y-%m-%dT%H:%M:%SZ}",
        f"due {due:%Y-%m-%dT%H:%M:%SZ}",
        *(f"receipt {receipt.receipt_id} {encoded(leaf_hash(receipt.body))}" for receipt in receipts),
    )
    return sign("".join(f"{line}\n" for line in lines), [Signer(lines[0], inclusion_promise_private_key(secret))])
