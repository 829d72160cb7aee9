"""Client certificates of calls: `auth` of the scheme `mtls`."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.secrets.pem import pem_blocks
from integrations.secrets.references import Secret, SecretReference, parse_reference
from integrations.transport import presenting_context

_MOST_BITS: Final = 8192
"""Size of the largest key. Signing with a key of 16,384 bits takes a worker seconds."""
_KEYS: Final = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """Chain and private key in PEM, and the end of the client's own certificate."""

    chain: str = field(repr=False)
    private_key: str = field(repr=False)
    ends_at: datetime
    reference: SecretReference

    def context(self, trusted: ssl.SSLContext | None = None) -> ssl.SSLContext:
        """Return the TLS context of a call. Raises `TransportFailure` (`credential_unavailable`)."""
        try:
            return presenting_context(self.chain, self.private_key, trusted)
        except ValueError as error:
            raise _unusable(self.reference, f"and its private key do not serve: {error}") from None


def client_certificate(
    auth: Mapping[str, Any], secret: Callable[[SecretReference], Secret], *, now: datetime
) -> ClientCertificate:
    """Return the certificate of `{scheme: mtls, certificate, private_key}`, read by `secret`.

    Raises `TransportFailure`: that of `secret`, or `credential_unavailable` for what is not a certificate in force and
    a key. Its detail contains names and dates only.
    """
    certificate, private_key = parse_reference(auth["certificate"]), parse_reference(auth["private_key"])
    chain = _blocks(certificate, secret(certificate), ("CERTIFICATE",))
    keys = _blocks(private_key, secret(private_key), _KEYS)
    if len(keys) > 1:
        raise _unusable(private_key, "contains more than one private key")
    try:
        own = x509.load_pem_x509_certificate(chain[0].encode())
        begins_at, ends_at = own.not_valid_before_utc, own.not_valid_after_utc
        bits = getattr(own.public_key(), "key_size", 0)
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm):
        raise _unusable(certificate, "contains a certificate that cannot be read") from None
    if now >= ends_at:
        raise _unusable(certificate, f"contains a certificate that ended on {ends_at:%Y-%m-%d}")
    if now < begins_at:
        raise _unusable(certificate, f"contains a certificate that begins on {begins_at:%Y-%m-%d}")
    if bits > _MOST_BITS:
        raise _unusable(certificate, f"contains a key of {bits} bits. Use one of at most {_MOST_BITS}")
    return ClientCertificate("".join(chain), keys[0], ends_at, certificate)


def _blocks(reference: SecretReference, secret: Secret, labels: tuple[str, ...]) -> list[str]:
    """Return the PEM blocks with one of the labels. One secret may contain certificate and key."""
    try:
        found = pem_blocks(secret.reveal())
    except ValueError as error:
        raise _unusable(reference, str(error)) from None
    if any(label == "ENCRYPTED PRIVATE KEY" for label, _ in found):
        raise _unusable(reference, "contains an encrypted private key. Store it without a passphrase")
    blocks = [block for label, block in found if label in labels]
    if not blocks:
        raise _unusable(reference, f"contains no {labels[0].lower()} in PEM")
    return blocks


def _unusable(reference: SecretReference, why: str) -> TransportFailure:
    return TransportFailure(FailureClass.CREDENTIAL_UNAVAILABLE, f"The secret {reference} {why}.")
