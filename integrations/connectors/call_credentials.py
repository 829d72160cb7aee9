"""Credentials of a call, from the `auth` of the request in its envelope."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.connectors.mutual_tls import client_certificate
from integrations.connectors.protocol import CallTerms
from integrations.secrets.references import SecretReference, parse_reference
from threada_site.kernel.templates import is_header_value


def authenticated(request: Mapping[str, Any], terms: CallTerms, secrets: list[str]) -> tuple[CallTerms, dict[str, str]]:
    """Return terms and headers that authenticate a request `{url, auth}`, and add what they reveal to `secrets`.

    Raises `TransportFailure`.
    """
    auth = request["auth"]
    if auth is None:
        return terms, {}
    if auth["scheme"] == "mtls":
        found = client_certificate(auth, lambda named: terms.secret(named, sent_to=request["url"]), now=terms.now)
        return replace(terms, tls=found.context(terms.tls)), {}
    if auth["scheme"] == "oauth2":
        token = terms.token(auth, sent_to=request["url"]).reveal()
        secrets.append(token)
        return terms, {"Authorization": f"Bearer {token}"}
    return terms, _headers(request, auth, terms, secrets)


def _headers(
    request: Mapping[str, Any], auth: Mapping[str, Any], terms: CallTerms, secrets: list[str]
) -> dict[str, str]:
    reference = parse_reference(auth["secret"])
    secret = terms.secret(reference, sent_to=request["url"]).reveal()
    secrets.append(secret)
    if auth["scheme"] == "basic":
        token = base64.b64encode(f"{auth['username']}:{secret}".encode()).decode()
        secrets.append(token)
        return {"Authorization": f"Basic {token}"}
    if auth["scheme"] == "header":
        return {auth["name"]: _header_value(auth["name"], secret, reference, secrets)}
    if not secret.isascii() or " " in secret:
        raise _unusable(reference, "is not a bearer token: it holds blanks or characters outside ASCII")
    return {"Authorization": f"Bearer {secret}"}


def _header_value(name: str, secret: str, reference: SecretReference, secrets: list[str]) -> str:
    """Return the secret as the value of a header. What follows a scheme (`Token …`) is secret by itself too."""
    if not is_header_value(secret):
        raise _unusable(reference, f"is not a value of {name}: it must be Latin-1 without control characters, unpadded")
    scheme, _, rest = secret.partition(" ")
    if name.lower() == "authorization" and scheme.lower() in ("bearer", "basic"):
        raise _unusable(reference, f"begins with {scheme.title()}. Store what follows, for auth of that scheme")
    if rest:
        secrets.append(rest)
    return secret


def _unusable(reference: SecretReference, why: str) -> TransportFailure:
    return TransportFailure(FailureClass.CREDENTIAL_UNAVAILABLE, f"The secret {reference} {why}.")
