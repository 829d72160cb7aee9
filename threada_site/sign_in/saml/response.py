"""SAML responses as they arrive: bounded, with exactly one assertion, whose own signature is verified.

Imports no Django.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final
from xml.etree.ElementTree import Element

from cryptography import x509
from lxml import etree

from threada_site.kernel import errors
from threada_site.kernel.bounded_xml import MOST_BYTES, XmlRefused, read_xml
from threada_site.sign_in.saml.service_provider import ASSERTION, PROTOCOL
from threada_site.sign_in.saml.signatures import SIGNATURE, Node, signed_element

_RESPONSE: Final = f"{{{PROTOCOL}}}Response"
_ASSERTION: Final = f"{{{ASSERTION}}}Assertion"
_ENCRYPTED: Final = frozenset({"EncryptedAssertion", "EncryptedID", "EncryptedAttribute", "EncryptedData"})
_SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
_MOST_TEXT: Final = MOST_BYTES * 3 // 2


def response_of(text: str) -> Node:
    """Return the response in a form field (base64). Nothing in it is verified.

    Raise `SamlResponseMalformed`, `SamlMarkupRefused`.
    """
    if not text or len(text) > _MOST_TEXT:
        raise errors.SamlResponseMalformed("The SAML response is missing or too large. Start the sign-in again.")
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
        read_xml(data)
        root = etree.fromstring(
            data,
            etree.XMLParser(encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False),
        )
    except XmlRefused as refused:
        kind = errors.SamlMarkupRefused if refused.is_markup else errors.SamlResponseMalformed
        raise kind(f"The SAML response is refused: {refused}. Start the sign-in again.") from None
    except (binascii.Error, ValueError, etree.XMLSyntaxError):
        raise errors.SamlResponseMalformed from None
    if root.tag != _RESPONSE or root.get("Version") != "2.0":
        raise errors.SamlResponseMalformed
    return root


def signed_assertion(response: Node, certificates: Sequence[x509.Certificate]) -> Element:
    """Return the assertion that its own signature covers, as a document without anything else of the response.

    A signature of the whole response must be valid too, but does not replace that of the assertion. Raise
    `IdentityProviderRefused`, `SamlAssertionEncrypted`, `SamlWrappingRefused`, and the errors of `signed_element`.
    """
    codes = [code.get("Value") for code in response.iterfind(f"{{{PROTOCOL}}}Status/{{{PROTOCOL}}}StatusCode")]
    if codes != [_SUCCESS]:
        raise errors.IdentityProviderRefused
    names = [etree.QName(element) for element in response.iter(etree.Element)]
    if any(name.localname in _ENCRYPTED for name in names):
        raise errors.SamlAssertionEncrypted
    assertions = response.findall(_ASSERTION)
    if len(assertions) != 1 or sum(name.localname == "Assertion" for name in names) != 1:
        raise errors.SamlWrappingRefused
    if sum(name.localname == "Response" for name in names) != 1:
        raise errors.SamlWrappingRefused
    signatures = [*response.findall(SIGNATURE), *assertions[0].findall(SIGNATURE)]
    if sum(name.localname == "Signature" for name in names) != len(signatures):
        raise errors.SamlWrappingRefused
    _check_ids(response)
    if response.find(SIGNATURE) is not None:
        signed_element(response, certificates)
    return signed_element(assertions[0], certificates)


def _check_ids(response: Node) -> None:
    """Raise `SamlWrappingRefused` if two elements have the same id, under whatever name of the attribute."""
    ids = [
        str(value)
        for element in response.iter(etree.Element)
        for name, value in element.attrib.items()
        if etree.QName(name).localname.lower() == "id"
    ]
    if len(ids) != len(set(ids)):
        raise errors.SamlWrappingRefused
