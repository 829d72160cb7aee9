"""Metadata of SAML identity providers: entity id, address of the sign-in, and signing keys. Imports no Django."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from xml.etree.ElementTree import Element

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from threada_site.kernel.bounded_xml import XmlRefused, read_xml

METADATA: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
PROTOCOL: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
REDIRECT_BINDING: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
PERSISTENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
NAME_ID_FORMAT: Final = "NameID.Format"
"""Claim with the format of a NameID."""
LEAST_RSA_BITS: Final = 2048
_SIGNATURES: Final = "http://www.w3.org/2000/09/xmldsig#"
_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")
_MOST_KEYS: Final = 10
_MOST_ADDRESS: Final = 1000


@dataclass(frozen=True, slots=True)
class SamlMetadata:
    """Parts of a provider's metadata. `certificates` contain its signing keys."""

    entity_id: str
    sign_in_address: str
    certificates: tuple[x509.Certificate, ...]
    valid_until: datetime | None

    @property
    def key_digests(self) -> frozenset[str]:
        """Return the SHA-256 of each signing key."""
        keys = (certificate.public_key() for certificate in self.certificates)
        encoded = (key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for key in keys)
        return frozenset(hashlib.sha256(key).hexdigest() for key in encoded)


def is_address(metadata: str) -> bool:
    """Return True for the address of metadata, False for metadata as XML."""
    return metadata.startswith(("https://", "http://"))


def metadata_source(metadata: str) -> str:
    """Return the address where a document's trust in its provider begins: of the metadata, or of the sign-in."""
    return metadata if is_address(metadata) else read_metadata(metadata).sign_in_address


@lru_cache(maxsize=64)
def read_metadata(xml: str) -> SamlMetadata:
    """Return the parts of metadata. Raise `ValueError`, whose text is the end of a sentence.

    The signature of metadata is not verified: whoever put it into the document, or TLS, vouches for it.
    """
    try:
        root = read_xml(xml.strip().encode(), ignores_comments=True)
    except (XmlRefused, UnicodeEncodeError) as error:
        raise ValueError(str(error)) from None
    if root.tag != f"{{{METADATA}}}EntityDescriptor":
        raise ValueError("its root is no EntityDescriptor of one provider")
    roles = [
        role
        for role in root.findall(f"{{{METADATA}}}IDPSSODescriptor")
        if PROTOCOL in role.get("protocolSupportEnumeration", "").split()
    ]
    if len(roles) != 1:
        raise ValueError("it does not describe exactly one identity provider of SAML 2.0")
    if roles[0].get("WantAuthnRequestsSigned", "false").strip() in ("true", "1"):
        raise ValueError("the identity provider wants signed requests (WantAuthnRequestsSigned), which are not sent")
    entity_id = root.get("entityID", "")
    if not entity_id or len(entity_id) > 500 or not entity_id.isprintable():
        raise ValueError("its entityID is missing, or has more than 500 characters")
    ends = [parse_instant(role.get("validUntil", "")) for role in (root, roles[0]) if role.get("validUntil")]
    return SamlMetadata(
        entity_id=entity_id,
        sign_in_address=_sign_in_address(roles[0]),
        certificates=_certificates(roles[0]),
        valid_until=min(ends) if ends else None,
    )


def parse_instant(text: str) -> datetime:
    """Return an xs:dateTime in UTC. Raise `ValueError` without a time zone."""
    try:
        found = datetime.fromisoformat(text.strip())
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{text[:40]!r} is no time with a time zone")


def _sign_in_address(role: Element) -> str:
    for service in role.findall(f"{{{METADATA}}}SingleSignOnService"):
        address = service.get("Location", "")
        is_plain = address.isprintable() and not set(address) & set(' #\\"<>')
        if service.get("Binding") == REDIRECT_BINDING and is_address(address) and is_plain:
            if len(address) > _MOST_ADDRESS:
                raise ValueError(f"the address of its sign-in has more than {_MOST_ADDRESS} characters")
            return address
    raise ValueError("it has no SingleSignOnService with the binding HTTP-Redirect")


def _certificates(role: Element) -> tuple[x509.Certificate, ...]:
    found: list[x509.Certificate] = []
    for descriptor in role.findall(f"{{{METADATA}}}KeyDescriptor"):
        if descriptor.get("use", "signing") != "signing":
            continue
        listed = list(descriptor.iter(f"{{{_SIGNATURES}}}X509Certificate"))
        if len(listed) != 1:  # of a chain, the keys of the authorities would be accepted too
            raise ValueError("a KeyDescriptor for signing does not contain exactly one X509Certificate")
        certificate = _certificate(listed[0].text or "")
        if certificate not in found:
            found.append(certificate)
    if not found or len(found) > _MOST_KEYS:
        raise ValueError(f"it contains no signing certificate, or more than {_MOST_KEYS}")
    return tuple(found)


def _certificate(text: str) -> x509.Certificate:
    try:
        found = x509.load_der_x509_certificate(base64.b64decode("".join(text.split()), validate=True))
        key = found.public_key()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm):
        raise ValueError("a signing certificate cannot be read") from None
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= LEAST_RSA_BITS:
        return found
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return found
    raise ValueError(
        f"a signing key is neither RSA of at least {LEAST_RSA_BITS} bits nor ECDSA on P-256, P-384 or P-521"
    )
