"""Canonical JSON (RFC 8785) and the SHA-256 digests taken over it.

Whatever is hashed, sealed or compared goes through `canonical_bytes`: equal values give equal bytes on every machine.
"""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785


def canonical_bytes(value: Any) -> bytes:
    """RFC 8785 bytes of a JSON value.

    Raises `rfc8785.CanonicalizationError` for what I-JSON cannot say (NaN, integers past 2^53, lone surrogates);
    requests are checked by `interop` before they reach this.
    """
    return rfc8785.dumps(value)


def sha256_hex(data: bytes) -> str:
    """Lower-case hexadecimal SHA-256 of `data`, 64 characters."""
    return hashlib.sha256(data).hexdigest()


def canonical_sha256(value: Any) -> str:
    """SHA-256 (hexadecimal) of the canonical bytes of a JSON value."""
    return sha256_hex(canonical_bytes(value))


def commitment(salt: bytes, value: Any) -> str:
    """A salted SHA-256 over a JSON value: it can be checked by whoever holds salt and value, and tells nothing else.

    Receipts carry commitments in place of personal values, so that erasing value and salt keeps every proof.
    """
    return sha256_hex(salt + canonical_bytes(value))
