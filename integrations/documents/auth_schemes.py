"""Authentication of calls in documents of the connectors `http` and `mcp`.

auth: {scheme: bearer, secret: {stored: bank_token}}
auth: {scheme: basic, username: threada, secret: {stored: bank_password}}
auth: {scheme: header, name: X-Api-Key, secret: {stored: bank_key}}
auth: {scheme: mtls, certificate: {stored: bank_certificate}, private_key: {stored: bank_private_key}}
auth:
  scheme: oauth2                          # client credentials
  token_url: https://login.bank.example/oauth2/token
  client_id: threada
  client_secret: {stored: bank_client}    # sent to token_url only
  scopes: [payments]                      # optional: client_auth (basic, post), audience, resource
"""

from __future__ import annotations

from typing import Final

from integrations.documents.fields import Fields
from integrations.documents.grammar import read_secrets
from integrations.documents.model import Authentication
from integrations.documents.schema import SECRET, filled_text
from integrations.transport.client import FRAMING_HEADERS, is_header_name
from integrations.transport.urls import Target, UnusableUrl, read_url
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
_NOT_CREDENTIALS: Final = (OWN_HEADERS - {"authorization"}) | {
    "accept",
    "content-encoding",
    "content-type",
    "forwarded",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "prefer",
    "range",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-method",
    "x-original-url",
    "x-rewrite-url",
}
"""Headers that say what a request does: their values are in the envelope that people approve, so no secret is one."""
_FIELDS: Final = {
    "bearer": ("secret",),
    "basic": ("username", "secret"),
    "header": ("name", "secret"),
    "mtls": ("certificate", "private_key"),
    "oauth2": ("token_url", "client_id", "client_secret"),
}
"""Required fields of each scheme."""
_OPTIONAL: Final = {"oauth2": ("client_auth", "scopes", "audience", "resource")}


def _fields_of(scheme: str, wanted: tuple[str, ...]) -> Schema:
    every = {other: (*fields, *_OPTIONAL.get(other, ())) for other, fields in _FIELDS.items()}
    users = {
        name: [other for other, fields in every.items() if name in fields]
        for fields in every.values()
        for name in fields
        if name not in every[scheme]
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
            "of a header. `mtls`: a client certificate. `oauth2`: an access token for the client.",
        },
        "username": filled_text(
            "User of the scheme basic.",
            examples=["threada"],
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
        "token_url": filled_text(
            "Address of the token endpoint, for the scheme oauth2.",
            examples=["https://login.bank.example/oauth2/token"],
        ),
        "client_id": filled_text(
            "Name of the client at the token endpoint.", pattern="^[\\x20-\\x7e]{1,500}$", examples=["threada"]
        ),
        "client_secret": {
            **SECRET,
            "description": "Reference to the secret of the client, which is sent to token_url only. Its origins list "
            "that address and the one of the calls.",
            "examples": [{"stored": "bank_client"}],
        },
        "client_auth": {
            "enum": ["basic", "post"],
            "default": "basic",
            "description": "Place of client_id and client_secret: `basic`: the header Authorization; `post`: the form.",
        },
        "scopes": {
            "type": "array",
            "items": {
                "type": "string",
                "pattern": "^[!#-\\[\\]-~]{1,200}$",
                "errorMessage": "A scope is one word of visible ASCII without quotes and backslashes.",
            },
            "maxItems": 50,
            "description": "Scopes that are requested. Default: those that the token endpoint gives.",
            "examples": [["payments"]],
        },
        "audience": filled_text(
            "Receiver that the token is for, if the token endpoint asks for it.",
            maxLength=500,
            examples=["https://api.bank.example"],
        ),
        "resource": filled_text(
            "Address that the token is for (RFC 8707), if the token endpoint asks for it.",
            maxLength=500,
            examples=["https://api.bank.example/payments"],
        ),
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
    if auth.value("scheme") == "oauth2":
        return _read_client(auth)
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


def _read_client(auth: Fields) -> Authentication | None:
    token_url = auth.value("token_url")
    if token_url is not None and ("@" in token_url or "#" in token_url):
        auth.refuse("token_url must be scheme://host[:port][/path], without user and fragment.", "token_url")
    elif token_url is not None:
        try:
            read_url(token_url)
        except UnusableUrl as error:
            auth.refuse(str(error), "token_url")
    client = {"token_url": token_url, "client_id": auth.value("client_id")}
    client |= {name: auth.value(name) for name in ("scopes", "audience", "resource") if name in auth}
    references = read_secrets(auth, "client_secret")
    if not references or token_url is None:
        return None
    client["client_auth"] = auth.value("client_auth", "basic")
    return Authentication("oauth2", references[0], client=client)


def may_authenticate(name: str) -> bool:
    """Return True if the value of the header `name` can be a secret of the scheme `header`."""
    return name.lower() not in _NOT_CREDENTIALS and not name.lower().startswith(("mcp-", "x-forwarded-"))
