"""When a checkpoint was signed, signed: a timestamped Ed25519 cosignature (https://c2sp.org/tlog-cosignature, v1).

A checkpoint itself tells no time, so a log that rests would sign the same bytes again and again. The instance adds a
line as a cosigner does, which says that this was the largest tree it knew at that second. Whoever does not know its
key ignores the line, as the specification of notes asks.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from telemetry.tlog.note import Signature, SignedNote, checked_name

COSIGNATURE: Final = 0x04


def cosigned(note: SignedNote, name: str, private_key: Ed25519PrivateKey, *, at: datetime) -> SignedNote:
    """`note` with one line more, by the cosigner `name`, of whole seconds."""
    seconds = int(at.timestamp())
    value = private_key.sign(f"cosignature/v1\ntime {seconds}\n{note.text}".encode())
    key_id = cosigner_key_id(name, private_key.public_key().public_bytes_raw())
    line = Signature(checked_name(name), key_id, seconds.to_bytes(8, "big") + value)
    return SignedNote(note.text, (*note.signatures, line))


def cosigner_key_id(name: str, public_key: bytes) -> bytes:
    """The first four bytes of SHA-256 over name, newline, signature type 4 and key."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([COSIGNATURE]) + public_key).digest()[:4]
