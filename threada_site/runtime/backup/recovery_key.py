"""The recovery key: an X25519 key pair of which the instance has the public half, and the operator the private half.

Keys in a backup are encrypted to the public half (HPKE, RFC 9180: X25519, HKDF-SHA256, ChaCha20-Poly1305), so the
machine that writes backups cannot read them. Pure.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

_PUBLIC: Final = "threada-recovery-"
_PRIVATE: Final = "THREADA-RECOVERY-SECRET-"
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


class RecoveryKeyProblem(Exception):
    """A recovery key is malformed, or not the one that a backup was encrypted to."""


def new_recovery_key() -> tuple[str, str]:
    """Return a new key pair as text: private half, public half."""
    private = X25519PrivateKey.generate()
    return _text(_PRIVATE, private.private_bytes_raw()), public_half(_text(_PRIVATE, private.private_bytes_raw()))


def public_half(private: str) -> str:
    """Return the public half of a private recovery key. Raise `RecoveryKeyProblem`."""
    return _text(_PUBLIC, _private(private).public_key().public_bytes_raw())


def fingerprint(public: str) -> str:
    """Return the name of a public recovery key in backups. Raise `RecoveryKeyProblem`."""
    return hashlib.sha256(_public(public).public_bytes_raw()).hexdigest()[:16]


def encrypt(plain: bytes, *, public: str, bound_to: bytes) -> bytes:
    """Encrypt to a public recovery key. The result decrypts only together with the same `bound_to`."""
    return _SUITE.encrypt(plain, _public(public), bound_to)


def decrypt(sealed: bytes, *, private: str, bound_to: bytes) -> bytes:
    """Decrypt with a private recovery key. Raise `RecoveryKeyProblem` for another key, or if anything was changed."""
    try:
        return _SUITE.decrypt(sealed, _private(private), bound_to)
    except (InvalidTag, ValueError):
        raise RecoveryKeyProblem(
            "The keys in the backup cannot be decrypted: the recovery key is another one, or the backup was changed."
        ) from None


def _public(text: str) -> X25519PublicKey:
    return X25519PublicKey.from_public_bytes(_bytes(_PUBLIC, text, "public recovery key"))


def _private(text: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(_bytes(_PRIVATE, text, "private recovery key"))


def _text(prefix: str, key: bytes) -> str:
    return prefix + base64.urlsafe_b64encode(key).decode().rstrip("=")


def _bytes(prefix: str, text: str, what: str) -> bytes:
    try:
        key = base64.urlsafe_b64decode(text.strip().removeprefix(prefix) + "=")
    except ValueError:
        key = b""
    if not text.strip().startswith(prefix) or len(key) != 32:
        raise RecoveryKeyProblem(f"This is no {what}: it begins with {prefix} (manage.py backup --new-recovery-key).")
    return key
