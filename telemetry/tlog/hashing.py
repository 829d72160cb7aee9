"""Hashes of a Merkle tree (RFC 6962, section 2.1), over SHA-256."""

from __future__ import annotations

import hashlib
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a leaf with the given entry bytes."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node with the given child hashes."""
    return hashlib.sha256(b"\x01" + left + right).digest()
