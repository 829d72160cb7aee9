"""Timestamped Ed25519 cosignatures of checkpoints (https://c2sp.org/tlog-cosignature, v1).

A checkpoint contains no time, so a log without new leaves would be signed with the same bytes every time. The instance
adds a cosignature, which states that this was the largest known tree at that second. Verifiers without its key ignore
the line, as the signed-note specification requires.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from telemetry.tlog.note import Signature, SignedNote, checked_name

COSIGNATURE: Final = 0x04


def cosigned(note: SignedNote, name: str, private_key: Ed25519PrivateKey, *, at: datetime) -> SignedNote:
    """Return `note` with a cosignature line of the cosigner `name`, in whole seconds."""
    seconds = int(at.timestamp())
    value = private_key.sign(f"cosignature/v1\ntime {seconds}\n{note.text}".encode())
    key_id = cosigner_key_id(name, private_key.public_key().public_bytes_raw())
    line = Signature(checked_name(name), key_id, seconds.to_bytes(8, "big") + value)
    return SignedNote(note.text, (*note.signatures, line))


def cosigned_at(note: SignedNote) -> datetime | None:
    """Return the time of the first cosignature of a note, which is not verified; None without one."""
    for signature in note.signatures:
        seconds = int.from_bytes(signature.value[:8], "big")
        if len(signature.value) == 72 and seconds < 1 << 36:
            return datetime.fromtimestamp(seconds, UTC)
    return None


def cosigner_key_id(name: str, public_key: bytes) -> bytes:
    """Return the first four bytes of SHA-256 over name, newline, signature type 4 and key."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([COSIGNATURE]) + public_key).digest()[:4]
