"""Certificates of a test's own authority."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

DAY: Final = timedelta(days=1)


class Authority:
    """Issues client certificates. `pem` is its own certificate."""

    def __init__(self, name: str = "clients") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.pem = self.sign(name, self._key.public_key(), is_authority=True)

    def issue(self, name: str = "threada", *, ends_in: timedelta = DAY, passphrase: str = "") -> tuple[str, str]:
        """Return certificate and private key in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        sealing = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealing).decode()
        return self.sign(name, key.public_key(), ends_in=ends_in), text

    def sign(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        *,
        is_authority: bool = False,
        ends_in: timedelta = DAY,
    ) -> str:
        """Return the certificate of a key in PEM."""
        ends_at = datetime.now(UTC) + ends_in
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(ends_at - 10 * DAY)
            .not_valid_after(ends_at)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
