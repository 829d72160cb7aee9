"""Signatures of SAML messages. What they sign is the only thing that is read afterwards. Imports no Django."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from xml.etree.ElementTree import Element

from cryptography import x509
from lxml import etree
from signxml import DigestAlgorithm, SignatureConfiguration, SignatureMethod, XMLVerifier
from signxml.exceptions import SignXMLException

from threada_site.kernel import errors
from threada_site.kernel.bounded_xml import read_xml

type Node = Any
"""Element of lxml, whose class is private."""

_DS: Final = "{http://www.w3.org/2000/09/xmldsig#}"
SIGNATURE: Final = f"{_DS}Signature"
METHODS: Final = frozenset(
    {
        SignatureMethod.RSA_SHA256, SignatureMethod.RSA_SHA384, SignatureMethod.RSA_SHA512,
        SignatureMethod.SHA256_RSA_MGF1, SignatureMethod.SHA384_RSA_MGF1, SignatureMethod.SHA512_RSA_MGF1,
        SignatureMethod.ECDSA_SHA256, SignatureMethod.ECDSA_SHA384, SignatureMethod.ECDSA_SHA512,
    }
)  # fmt: skip
DIGESTS: Final = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
_ENVELOPED: Final = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_CANONICAL: Final = frozenset(
    {"http://www.w3.org/2001/10/xml-exc-c14n#", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"}
)
_METHOD_NAMES: Final = frozenset(method.value for method in METHODS)
_DIGEST_NAMES: Final = frozenset(digest.value for digest in DIGESTS)
_SIGNED: Final = SignatureConfiguration(location="./", signature_methods=METHODS, digest_algorithms=DIGESTS)


def signed_element(element: Node, certificates: Sequence[x509.Certificate]) -> Element:
    """Return the element that its own signature signs, read again from the bytes that were signed.

    A key is accepted while its certificate is valid, which signxml checks. Raise `SamlAssertionUnsigned`,
    `SamlWrappingRefused`, `SamlAlgorithmRefused`, `SamlSignatureInvalid`.
    """
    signatures = element.findall(SIGNATURE)
    if not signatures:
        raise errors.SamlAssertionUnsigned
    if len(signatures) > 1:
        raise errors.SamlWrappingRefused("The SAML message has several signatures. Start the sign-in again.")
    _check_form(signatures[0], str(element.get("ID", "")))
    alone = etree.tostring(element, with_tail=False)
    for certificate in certificates:
        try:
            found = XMLVerifier().verify(alone, x509_cert=certificate, id_attribute="ID", expect_config=_SIGNED)
        except (SignXMLException, etree.LxmlError, ValueError, AssertionError):
            continue
        if isinstance(found, list):
            raise errors.SamlWrappingRefused
        signed = read_xml(found.signed_data)
        if signed.tag != element.tag or signed.get("ID") != element.get("ID"):
            raise errors.SamlWrappingRefused
        return signed
    raise errors.SamlSignatureInvalid


def _check_form(signature: Node, element_id: str) -> None:
    """Check that a signature names its own element, and nothing but accepted algorithms."""
    references = signature.findall(f"{_DS}SignedInfo/{_DS}Reference")
    if len(references) != 1 or not element_id or references[0].get("URI") != f"#{element_id}":
        raise errors.SamlWrappingRefused
    if signature.find(f"{_DS}Object") is not None:
        raise errors.SamlWrappingRefused
    transforms = [one.get("Algorithm") for one in references[0].iterfind(f"{_DS}Transforms/{_DS}Transform")]
    if _ENVELOPED not in transforms or not {*transforms} <= {_ENVELOPED, *_CANONICAL} or len(transforms) > 2:
        raise errors.SamlAlgorithmRefused("The SAML signature uses transforms that are not accepted.")
    for path, accepted in (
        ("SignedInfo/{ds}CanonicalizationMethod", _CANONICAL),
        ("SignedInfo/{ds}SignatureMethod", _METHOD_NAMES),
        ("SignedInfo/{ds}Reference/{ds}DigestMethod", _DIGEST_NAMES),
    ):
        method = signature.find(f"{_DS}{path.format(ds=_DS)}")
        if method is None or method.get("Algorithm") not in accepted:
            raise errors.SamlAlgorithmRefused
