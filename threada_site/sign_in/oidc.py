"""OpenID Connect: the address of the provider's sign-in, and the verified claims of its answer."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from integrations.attempts.failures import TransportFailure
from integrations.secrets.access import SecretAccess
from integrations.secrets.references import parse_reference
from threada_site.identity.providers.documents import ProviderSpec
from threada_site.kernel import clock, errors
from threada_site.sign_in.calls import get_json, post_form
from threada_site.sign_in.id_token import verified_claims
from threada_site.sign_in.metadata import Metadata, keys_of, metadata_of
from threada_site.sign_in.pending import PendingSignIn, Purpose
from threada_site.tenancy.models import IdentityProviderVersion, Tenant

_PROTOCOL_CLAIMS: Final = frozenset(
    {"iss", "sub", "aud", "azp", "exp", "iat", "nbf", "nonce", "auth_time", "acr", "amr"}
)
_MOST_CODE: Final = 4096
STEP_UP_LEEWAY_S: Final = 30
"""Seconds by which a clock of a provider may be behind, so that a fresh login counts as one."""


def authorization_address(spec: ProviderSpec, pending: PendingSignIn, *, tenant_id: uuid.UUID) -> str:
    """Return the address to which the browser is sent. Raise `IdentityProviderUnavailable`, `IssuerMismatch`."""
    endpoint = metadata_of(spec.issuer, tenant_id=tenant_id).authorization_endpoint
    query = {
        "response_type": "code",
        "client_id": spec.client_id,
        "redirect_uri": pending.redirect_uri,
        "scope": " ".join(spec.scopes),
        "state": pending.state,
        "nonce": pending.nonce,
        "code_challenge": pending.challenge,
        "code_challenge_method": "S256",
    }
    max_age = 0 if pending.purpose == Purpose.STEP_UP else spec.max_age
    if max_age is not None:
        query["max_age"] = str(max_age)
    if pending.purpose != Purpose.SIGN_IN:
        query["prompt"] = "login"
    if acr_values := acr_values_of(spec, pending):
        query["acr_values"] = " ".join(acr_values)
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query, quote_via=quote)}"


def claims_of_answer(
    answer: Mapping[str, str],
    pending: PendingSignIn,
    version: IdentityProviderVersion,
    spec: ProviderSpec,
    *,
    tenant: Tenant,
) -> dict[str, Any]:
    """Return the verified claims of the person whom the provider signed in.

    `answer` is the query of the redirect back. Claims that the ID token does not contain are read from the userinfo
    endpoint. Raise `IssuerMismatch`, `IdentityProviderRefused`, `IdentityProviderUnavailable`, `IdentityTokenInvalid`.
    """
    metadata = metadata_of(spec.issuer, tenant_id=tenant.id)
    _check_sender(answer, metadata)
    if "error" in answer:
        raise errors.IdentityProviderRefused
    code = answer.get("code", "")
    if not code or len(code) > _MOST_CODE:
        raise errors.IdentityProviderRefused("The identity provider sent no code. Start the sign-in again.")
    tokens = _redeem(code, pending, metadata, version, spec, tenant=tenant)
    access_token = tokens.get("access_token")
    access_token = access_token if isinstance(access_token, str) else ""
    claims = verified_claims(
        tokens.get("id_token"),
        lambda key_id: keys_of(metadata, key_id),
        issuer=spec.issuer,
        client_id=spec.client_id,
        nonce=pending.nonce,
        access_token=access_token,
        max_age=spec.max_age,
        not_before=pending.started - STEP_UP_LEEWAY_S if pending.purpose == Purpose.STEP_UP else None,
        acr_values=acr_values_of(spec, pending),
        now=clock.now().timestamp(),
    )
    if (
        metadata.userinfo_endpoint
        and access_token
        and any(name not in claims for name in (*spec.claims.values(), *spec.required_claims))
    ):
        found = get_json(metadata.userinfo_endpoint, token=access_token)
        if found.get("sub") != claims["sub"]:
            raise errors.IdentityTokenInvalid(
                "The answer of the identity provider is refused: its userinfo is about another person."
            )
        claims = {**{name: value for name, value in found.items() if name not in _PROTOCOL_CLAIMS}, **claims}
    return claims


def acr_values_of(spec: ProviderSpec, pending: PendingSignIn) -> tuple[str, ...]:
    """Return the authentication contexts of which the answer must assert one. A step-up asks for a second factor."""
    if pending.purpose == Purpose.STEP_UP:
        return spec.acr_values or spec.second_factor_acr_values
    return spec.acr_values


def _check_sender(answer: Mapping[str, str], metadata: Metadata) -> None:
    """Check `iss` in the redirect (RFC 9207), so that no other provider's answer is taken for this one's."""
    sender = answer.get("iss")
    if sender is None and not metadata.sends_issuer:
        return
    if sender != metadata.issuer:
        raise errors.IssuerMismatch


def _redeem(
    code: str,
    pending: PendingSignIn,
    metadata: Metadata,
    version: IdentityProviderVersion,
    spec: ProviderSpec,
    *,
    tenant: Tenant,
) -> dict[str, Any]:
    """Exchange a code for tokens. The client's secret is sent to the token endpoint only."""
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": pending.redirect_uri,
        "code_verifier": pending.verifier,
    }
    authorization = ""
    if spec.client_secret is None:
        fields["client_id"] = spec.client_id
    else:
        secret = _secret(spec.client_secret, metadata.token_endpoint, version, tenant)
        if "client_secret_basic" in metadata.client_authentication or not metadata.client_authentication:
            pair = f"{quote(spec.client_id, safe='')}:{quote(secret, safe='')}"
            authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            fields |= {"client_id": spec.client_id, "client_secret": secret}
    status, tokens = post_form(metadata.token_endpoint, fields, authorization=authorization)
    if status != 200:
        raise errors.IdentityProviderRefused(
            "The identity provider did not accept its own code. Start the sign-in again."
        )
    return tokens


def _secret(reference: Mapping[str, str], endpoint: str, version: IdentityProviderVersion, tenant: Tenant) -> str:
    """Return the client's secret. In a document of the operator, the issuer decides where its token endpoint is."""
    access = SecretAccess(tenant.id, tenant.slug, endpoint.partition("?")[0] if version.is_operators else "")
    try:
        return access(parse_reference(reference), endpoint).reveal()
    except TransportFailure:
        raise errors.IdentityProviderUnavailable(
            "The secret of the identity provider's client cannot be read or may not be sent there. Ask the operator "
            "of the instance."
        ) from None
