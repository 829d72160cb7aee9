"""A SAML identity provider for tests, which also gives wrong answers. It needs no process and no address."""

from __future__ import annotations

import base64
import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape, quoteattr

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from signxml import DigestAlgorithm, SignatureMethod, XMLSigner

ENTITY_ID = "https://id.corp.example/saml"
SIGN_IN = "https://id.corp.example/sso?tenant=1"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
NAMES = {
    "saml": "urn:oasis:names:tc:SAML:2.0:assertion",
    "samlp": "urn:oasis:names:tc:SAML:2.0:protocol",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
}

type Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def key_of(name: str) -> Key:
    """Return one key for each name in a run: "rsa-1024", "ec", or any other name for RSA with 2048 bits."""
    if name == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 1024 if name == "rsa-1024" else 2048)


def certificate_of(key: Key, *, days: int = 30) -> x509.Certificate:
    """Return a self-signed certificate, which has expired if `days` is negative."""
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "corp")]), datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(days=60))
    return builder.not_valid_after(now + timedelta(days=days)).sign(key, hashes.SHA256())


def metadata_of(
    *keys: str, entity_id: str = ENTITY_ID, sign_in: str = SIGN_IN, days: int = 30, root: str = "", role: str = ""
) -> str:
    """Return metadata with the certificates of keys. `root` and `role` are further attributes of the elements."""
    certificates = [certificate_of(key_of(name), days=days).public_bytes(Encoding.DER) for name in keys]
    listed = "".join(
        '<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>'
        f"<ds:X509Certificate>{base64.encodebytes(one).decode()}</ds:X509Certificate>"
        "</ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
        for one in certificates
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><!-- of a provider -->'
        f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID={quoteattr(entity_id)} {root}>'
        f'<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol" {role}>{listed}'
        '<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://other"/>'
        f'<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location={quoteattr(sign_in)}/>'
        "</md:IDPSSODescriptor></md:EntityDescriptor>"
    )


@dataclass(frozen=True)
class Request:
    """Parts of an AuthnRequest that arrived in the address `address`."""

    id: str
    issuer: str
    consumer: str
    relay_state: str
    xml: etree._Element

    @classmethod
    def read(cls, address: str) -> Request:
        query = dict(parse_qsl(urlsplit(address).query))
        xml = etree.fromstring(zlib.decompress(base64.b64decode(query["SAMLRequest"]), -15))
        issuer = xml.findtext("saml:Issuer", namespaces=NAMES)
        consumer = xml.get("AssertionConsumerServiceURL")
        assert issuer is not None
        assert consumer is not None
        return cls(str(xml.get("ID")), issuer, consumer, query["RelayState"], xml)


def at(seconds: float) -> str:
    return f"{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%fZ}"


@dataclass(frozen=True)
class Answer:
    """A response for a request, honest unless fields are changed. An attribute that is None is left out.

    Times are texts, or seconds from now.
    """

    request: Request
    subject: str | None = "person-1"
    name_format: str = PERSISTENT
    attributes: dict[str, list[str]] = field(default_factory=dict)
    issuer: str = ENTITY_ID
    response_issuer: str | None = ENTITY_ID
    destination: str | None = ""
    recipient: str | None = ""
    audience: str | None = ""
    response_to: str | None = ""
    confirmed_to: str | None = ""
    issued: str | int = ""
    not_before: str | int | None = ""
    not_on_or_after: str | int | None = ""
    confirmed_until: str | int | None = ""
    authenticated: str | int = ""
    context: str = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
    session_until: int | None = None
    confirmed_from: int | None = None
    status: str = "urn:oasis:names:tc:SAML:2.0:status:Success"
    assertion_id: str = ""
    subject_xml: str | None = None
    more_conditions: str = ""
    more: str = ""

    def changed(self, **fields: Any) -> Answer:
        return replace(self, **fields)

    def unsigned(self) -> etree._Element:
        """Return the response without signatures."""
        request = self.request
        consumer, audience = request.consumer, request.issuer

        def attributes(**values: str | int | None) -> str:
            texts = {name: at(value) if isinstance(value, int) else value for name, value in values.items()}
            return "".join(f" {name}={quoteattr(text)}" for name, text in texts.items() if text is not None)

        def or_else[T](value: T, default: str) -> T | str:
            return default if value == "" else value

        subject = (
            f"<saml:NameID Format={quoteattr(self.name_format)}>{escape(self.subject)}</saml:NameID>"
            if self.subject is not None
            else ""
        )
        if self.subject_xml is not None:
            subject = self.subject_xml
        restriction = (
            ""
            if self.audience is None
            else f"<saml:AudienceRestriction><saml:Audience>{escape(self.audience or audience)}</saml:Audience></saml:AudienceRestriction>"
        )
        statement = "".join(
            f"<saml:Attribute Name={quoteattr(name)}>"
            + "".join(f"<saml:AttributeValue>{escape(value)}</saml:AttributeValue>" for value in values)
            + "</saml:Attribute>"
            for name, values in self.attributes.items()
        )
        statement = f"<saml:AttributeStatement>{statement}</saml:AttributeStatement>" if statement else ""
        assertion_id = self.assertion_id or f"a{secrets.token_hex(16)}"
        xml = (
            f'<samlp:Response xmlns:samlp="{NAMES["samlp"]}" xmlns:saml="{NAMES["saml"]}" ID="r{secrets.token_hex(16)}" Version="2.0"'
            + attributes(
                IssueInstant=at(0),
                Destination=or_else(self.destination, consumer),
                InResponseTo=or_else(self.response_to, request.id),
            )
            + ">"
            + (f"<saml:Issuer>{escape(self.response_issuer)}</saml:Issuer>" if self.response_issuer else "")
            + f"<samlp:Status><samlp:StatusCode Value={quoteattr(self.status)}/></samlp:Status>"
            f'<saml:Assertion ID="{assertion_id}" Version="2.0" '
            + attributes(IssueInstant=or_else(self.issued, at(0)))
            + f">"
            f"<saml:Issuer>{escape(self.issuer)}</saml:Issuer><saml:Subject>{subject}"
            '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData'
            + attributes(
                NotBefore=self.confirmed_from,
                NotOnOrAfter=or_else(self.confirmed_until, at(300)),
                Recipient=or_else(self.recipient, consumer),
                InResponseTo=or_else(self.confirmed_to, request.id),
            )
            + "/></saml:SubjectConfirmation></saml:Subject><saml:Conditions"
            + attributes(
                NotBefore=or_else(self.not_before, at(-5)), NotOnOrAfter=or_else(self.not_on_or_after, at(300))
            )
            + f">{restriction}{self.more_conditions}</saml:Conditions>"
            f"<saml:AuthnStatement"
            + attributes(AuthnInstant=or_else(self.authenticated, at(-1)), SessionNotOnOrAfter=self.session_until)
            + f"><saml:AuthnContext><saml:AuthnContextClassRef>{escape(self.context)}</saml:AuthnContextClassRef>"
            f"</saml:AuthnContext></saml:AuthnStatement>{statement}{self.more}</saml:Assertion></samlp:Response>"
        )
        return etree.fromstring(xml)

    def signed(self, key: str = "one", **options: Any) -> etree._Element:
        """Return the response with a signed assertion."""
        response = self.unsigned()
        sign(assertion_in(response), key, **options)
        return response

    def form(self, response: etree._Element | bytes | None = None) -> dict[str, str]:
        """Return the fields that the browser posts, of the honest response if none is given."""
        whole = self.signed() if response is None else response
        data = whole if isinstance(whole, bytes) else etree.tostring(whole)
        return {"SAMLResponse": base64.b64encode(data).decode(), "RelayState": self.request.relay_state}


def assertion_in(response: etree._Element) -> etree._Element:
    found = response.find("saml:Assertion", NAMES)
    assert found is not None
    return found


class _Signer(XMLSigner):
    """Signs with SHA-1 too."""

    def check_deprecated_methods(self) -> None:
        pass


def sign(
    element: etree._Element,
    key: str = "one",
    *,
    method: SignatureMethod | None = None,
    digest: DigestAlgorithm = DigestAlgorithm.SHA256,
    certificate: bool = True,
    change: Callable[[etree._Element], None] | None = None,
) -> etree._Element:
    """Put a signature of `element` into it, after its issuer. Return the signature. `change` works on it afterwards."""
    private = key_of(key)
    method = method or (SignatureMethod.ECDSA_SHA256 if key == "ec" else SignatureMethod.RSA_SHA256)
    signer = _Signer(
        signature_algorithm=method,
        digest_algorithm=digest,
        c14n_algorithm="http://www.w3.org/2001/10/xml-exc-c14n#",
    )
    cert = certificate_of(private).public_bytes(Encoding.PEM).decode()
    whole = signer.sign(
        etree.fromstring(etree.tostring(element)), key=private, cert=cert, reference_uri=str(element.get("ID")),
        id_attribute="ID",
    )  # fmt: skip
    signature = whole.find("ds:Signature", NAMES)
    assert signature is not None
    element.insert(1, signature)
    if change is not None:
        change(signature)
    return signature
