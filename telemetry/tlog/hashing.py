"""The two hashes of a Merkle tree (RFC 6962, section 2.1), over SHA-256."""

from __future__ import annotations

import hashlib
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf, from the bytes of the entry themselves."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node, from the hashes of its two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()
