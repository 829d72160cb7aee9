"""Blobs that only one key opens: AES-256-GCM over a value, naming the person whose key it is. Pure.

A blob is `version (1) | subject (16, a UUID) | nonce (12) | ciphertext and tag`. `place` says where it belongs (a
table's column), so that a blob moved elsewhere does not open.
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
    """A blob that its key does not open: it was changed, moved, or made under another key. Never a user's error."""


def derived_key(secret: str, *, purpose: str) -> bytes:
    """A key for one purpose alone (HKDF, RFC 5869)."""
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=purpose.encode()).derive(secret.encode())


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def close_blob(value: bytes, key: bytes, *, subject: uuid.UUID, place: str) -> bytes:
    """`value` as a blob that `key` alone opens."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    head = _VERSION + subject.bytes + nonce
    return head + AESGCM(key).encrypt(nonce, value, head + place.encode())


def subject_of_blob(blob: bytes) -> uuid.UUID:
    """Whose key opens it."""
    if len(blob) < _HEAD_BYTES or blob[:1] != _VERSION:
        raise BlobUnreadableError("This is no blob of a known form.")
    return uuid.UUID(bytes=blob[1:17])


def open_blob(blob: bytes, key: bytes, *, place: str) -> bytes:
    """What `close_blob` was given. Raises `BlobUnreadableError`."""
    subject_of_blob(blob)
    head, rest = blob[:_HEAD_BYTES], blob[_HEAD_BYTES:]
    try:
        return AESGCM(key).decrypt(head[17:], rest, head + place.encode())
    except InvalidTag:
        raise BlobUnreadableError(f"A blob in {place} does not open with the key it names.") from None


def keyed_digest(value: str, key: bytes) -> bytes:
    """HMAC-SHA-256: finds what was written under the same value, and tells nothing to whoever lacks the key."""
    return hmac.new(key, value.encode(), hashlib.sha256).digest()
