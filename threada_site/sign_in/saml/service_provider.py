"""Threada as a SAML service provider: its entity id, its metadata, and the request that asks for a sign-in.

Imports no Django.
"""

from __future__ import annotations

import base64
import zlib
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode
from xml.etree.ElementTree import Element, SubElement, register_namespace, tostring

ASSERTION: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
PROTOCOL: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
_METADATA: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
_POST: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
_PERSISTENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
for _prefix, _uri in (("saml", ASSERTION), ("samlp", PROTOCOL), ("md", _METADATA)):
    register_namespace(_prefix, _uri)


def entity_id_of(consumer: str) -> str:
    """Return the entity id, which is the address of the metadata, for the address of the assertion consumer."""
    return f"{consumer.removesuffix('callback')}metadata"


def service_metadata(consumer: str) -> bytes:
    """Return the metadata of the service provider whose assertion consumer is at `consumer`."""
    root = Element(f"{{{_METADATA}}}EntityDescriptor", {"entityID": entity_id_of(consumer)})
    role = SubElement(
        root,
        f"{{{_METADATA}}}SPSSODescriptor",
        {"AuthnRequestsSigned": "false", "WantAssertionsSigned": "true", "protocolSupportEnumeration": PROTOCOL},
    )
    SubElement(role, f"{{{_METADATA}}}NameIDFormat").text = _PERSISTENT
    SubElement(
        role,
        f"{{{_METADATA}}}AssertionConsumerService",
        {"Binding": _POST, "Location": consumer, "index": "0", "isDefault": "true"},
    )
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True))


def request_address(
    sign_in_address: str,
    *,
    request_id: str,
    relay_state: str,
    consumer: str,
    now: datetime,
    is_fresh: bool,
    acr_values: tuple[str, ...],
) -> str:
    """Return the address to which the browser is sent (binding HTTP-Redirect). `is_fresh` asks for a new login."""
    request = Element(
        f"{{{PROTOCOL}}}AuthnRequest",
        {
            "ID": request_id,
            "Version": "2.0",
            "IssueInstant": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "Destination": sign_in_address,
            "AssertionConsumerServiceURL": consumer,
            "ProtocolBinding": _POST,
            **({"ForceAuthn": "true"} if is_fresh else {}),
        },
    )
    SubElement(request, f"{{{ASSERTION}}}Issuer").text = entity_id_of(consumer)
    SubElement(request, f"{{{PROTOCOL}}}NameIDPolicy", {"AllowCreate": "true"})
    if acr_values:
        wanted = SubElement(request, f"{{{PROTOCOL}}}RequestedAuthnContext", {"Comparison": "exact"})
        for value in acr_values:
            SubElement(wanted, f"{{{ASSERTION}}}AuthnContextClassRef").text = value
    compressor = zlib.compressobj(wbits=-15)
    deflated = compressor.compress(tostring(request)) + compressor.flush()
    query = {"SAMLRequest": base64.b64encode(deflated).decode(), "RelayState": relay_state}
    return f"{sign_in_address}{'&' if '?' in sign_in_address else '?'}{urlencode(query, quote_via=quote)}"
