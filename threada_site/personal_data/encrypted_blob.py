"""Encrypted blobs: AES-256-GCM over a value, with the id of the subject whose key decrypts it. Pure.

Format: `version (1) | subject (16, a UUID) | nonce (12) | ciphertext and tag`. `place` (a table's column) is
authenticated, so that a blob cannot be moved to another column.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32
_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = 1 + 16 + _NONCE_BYTES


class BlobUnreadableError(RuntimeError):
    """Error for a blob that was changed, moved, or encrypted with another key. Never caused by users."""


def derived_key(secret: str, *, purpose: str) -> bytes:
    """Derive a key for one purpose (HKDF, RFC 5869)."""
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=purpose.encode()).derive(secret.encode())


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def close_blob(value: bytes, key: bytes, *, subject: uuid.UUID, place: str) -> bytes:
    """Encrypt `value` with `key`."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    head = _VERSION + subject.bytes + nonce
    return head + AESGCM(key).encrypt(nonce, value, head + place.encode())


def subject_of_blob(blob: bytes) -> uuid.UUID:
    """Return the subject whose key decrypts the blob."""
    if len(blob) < _HEAD_BYTES or blob[:1] != _VERSION:
        raise BlobUnreadableError("The blob has an unknown format.")
    return uuid.UUID(bytes=blob[1:17])


def open_blob(blob: bytes, key: bytes, *, place: str) -> bytes:
    """Decrypt a blob of `close_blob`. Raise `BlobUnreadableError`."""
    subject_of_blob(blob)
    head, rest = blob[:_HEAD_BYTES], blob[_HEAD_BYTES:]
    try:
        return AESGCM(key).decrypt(head[17:], rest, head + place.encode())
    except InvalidTag:
        raise BlobUnreadableError(f"A blob in {place} cannot be decrypted with the key of its subject.") from None


def keyed_digest(value: str, key: bytes) -> bytes:
    """Return the HMAC-SHA-256 of `value`, by which equal values are found; useless without the key."""
    return hmac.new(key, value.encode(), hashlib.sha256).digest()
