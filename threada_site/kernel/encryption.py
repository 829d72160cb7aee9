"""Short secrets at rest: AES-256-GCM under a key derived from the instance's, bound to the row they are in. Pure."""

from __future__ import annotations

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_VERSION: Final = b"\x01"
_NONCE: Final = 12


class Undecipherable(ValueError):
    """The key is another one, or the bytes were made for another row or changed."""


def encrypt(text: str, *, key: str, bound_to: bytes) -> bytes:
    """A version byte, a nonce and the ciphertext. Only `decrypt` with the same `key` and `bound_to` reads it."""
    nonce = os.urandom(_NONCE)
    return _VERSION + nonce + AESGCM(_derived(key)).encrypt(nonce, text.encode(), bound_to)


def decrypt(stored: bytes, *, key: str, bound_to: bytes) -> str:
    """The text. Raises `Undecipherable`."""
    nonce, sealed = stored[1 : 1 + _NONCE], stored[1 + _NONCE :]
    if stored[:1] != _VERSION or len(nonce) != _NONCE:
        raise Undecipherable("These bytes were not encrypted here.")
    try:
        return AESGCM(_derived(key)).decrypt(nonce, sealed, bound_to).decode()
    except InvalidTag:
        raise Undecipherable("The key is another one, or the bytes were changed.") from None


def _derived(key: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"threada: secrets at rest, 1").derive(key.encode())
