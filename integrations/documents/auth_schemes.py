"""Authentication of calls in documents of the connectors `http` and `mcp`.

auth: {scheme: bearer, secret: {stored: bank_token}}
auth: {scheme: basic, username: threada, secret: {stored: bank_password}}
auth: {scheme: header, name: X-Api-Key, secret: {stored: bank_key}}
auth: {scheme: mtls, certificate: {stored: bank_certificate}, private_key: {stored: bank_private_key}}
"""

from __future__ import annotations

from typing import Final

from integrations.documents.fields import Fields
from integrations.documents.grammar import read_secrets
from integrations.documents.model import Authentication
from integrations.documents.schema import SECRET, filled_text
from integrations.transport.client import FRAMING_HEADERS, is_header_name
from integrations.transport.urls import Target
from threada_site.kernel.documents.structure import Schema, closed_object

OWN_HEADERS: Final = FRAMING_HEADERS | {
    "accept-encoding",
    "authorization",
    "cookie",
    "idempotency-key",
    "proxy-authorization",
    "threada-callback-url",
    "traceparent",
    "tracestate",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
}
"""Headers that the connector or the transport sets, or that no action may set."""
_NOT_CREDENTIALS: Final = (OWN_HEADERS - {"authorization"}) | {"accept", "content-type"}
_FIELDS: Final = {
    "bearer": ("secret",),
    "basic": ("username", "secret"),
    "header": ("name", "secret"),
    "mtls": ("certificate", "private_key"),
}
"""Fields of each scheme, all of them required."""


def _fields_of(scheme: str, wanted: tuple[str, ...]) -> Schema:
    users = {
        name: [other for other, fields in _FIELDS.items() if name in fields]
        for fields in _FIELDS.values()
        for name in fields
        if name not in wanted
    }
    return {
        "if": {"properties": {"scheme": {"const": scheme}}, "required": ["scheme"]},
        "then": {
            "required": list(wanted),
            "properties": {
                name: {"not": {}, "errorMessage": f"Remove {name}, or use the scheme {' or '.join(schemes)}."}
                for name, schemes in users.items()
            },
        },
    }


AUTH: Final = closed_object(
    {
        "scheme": {
            "enum": list(_FIELDS),
            "description": "`bearer`, `basic`: schemes of the header Authorization. `header`: the secret is the value "
            "of a header. `mtls`: a client certificate.",
        },
        "username": filled_text(
            "User of the scheme basic.",
            pattern="^[^:\\x00-\\x1f]*$",
            errorMessage="username must be text without colons or control characters, for the scheme basic.",
        ),
        "name": filled_text("Name of the header, for the scheme header.", maxLength=100, examples=["X-Api-Key"]),
        "secret": SECRET,
        "certificate": {
            **SECRET,
            "description": "Reference to the client's certificate in PEM, followed by those of intermediate "
            "authorities, for the scheme mtls.",
            "examples": [{"stored": "bank_certificate"}],
        },
        "private_key": {
            **SECRET,
            "description": "Reference to the private key of the certificate in PEM, without a passphrase, for the "
            "scheme mtls.",
            "examples": [{"stored": "bank_private_key"}],
        },
    },
    required=("scheme",),
    allOf=[
        *(_fields_of(scheme, wanted) for scheme, wanted in _FIELDS.items()),
        {"if": {"not": {"required": ["scheme"]}}, "then": {"required": ["secret"]}},
    ],
    description="Authentication of calls.",
    examples=[{"scheme": "bearer", "secret": {"stored": "bank_token"}}],
)


def read_auth(auth: Fields, origin: Target | None) -> Authentication | None:
    """Return the authentication of calls to `origin`, or None if the document has none or an error."""
    if auth.value("scheme") == "mtls":
        return _read_certificate(auth, origin)
    name = auth.value("name")
    if name is not None and not is_header_name(name):
        auth.refuse(f"{name[:40]!r} is not a header name.", "name")
    elif name is not None and not may_authenticate(name):
        auth.refuse(f"{name} is set by Threada itself, or contains no credential. Name another header.", "name")
    references = read_secrets(auth, "secret")
    if not references:
        return None
    return Authentication(auth.value("scheme", "bearer"), references[0], username=auth.value("username"), name=name)


def _read_certificate(auth: Fields, origin: Target | None) -> Authentication | None:
    if origin is not None and origin.scheme != "https":
        auth.refuse("A client certificate needs TLS. Write a base_url with https.", "scheme")
    references = (*read_secrets(auth, "certificate"), *read_secrets(auth, "private_key"))
    if len(references) < 2:
        return None
    certificate, private_key = references
    return Authentication("mtls", private_key, certificate=certificate)


def may_authenticate(name: str) -> bool:
    """Return True if the value of the header `name` can be a secret of the scheme `header`."""
    return name.lower() not in _NOT_CREDENTIALS and not name.lower().startswith("mcp-")
