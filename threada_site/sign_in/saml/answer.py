"""The sign-in at a SAML provider: the address to which the browser is sent, and the claims of the answer."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element

from threada_site.identity.providers.documents import ProviderSpec
from threada_site.identity.sign_in.attempts import use_once
from threada_site.kernel import clock, errors
from threada_site.sign_in.oidc import acr_values_of
from threada_site.sign_in.pending import PendingSignIn, Purpose
from threada_site.sign_in.saml.assertion import Expected, check_response, claims_of
from threada_site.sign_in.saml.metadata import metadata_of, newer_metadata
from threada_site.sign_in.saml.response import response_of, signed_assertion
from threada_site.sign_in.saml.service_provider import entity_id_of, request_address
from threada_site.sign_in.saml.signatures import Node


def sign_in_address(spec: ProviderSpec, pending: PendingSignIn, *, tenant_id: uuid.UUID) -> str:
    """Return the address to which the browser is sent. Raise the errors of `metadata_of`.

    With `max_age`, in a session, and for a step-up the provider is asked for a new login: it cannot be told an age.
    """
    return request_address(
        metadata_of(spec, tenant_id=tenant_id).sign_in_address,
        request_id=_request_id(pending),
        relay_state=pending.state,
        consumer=pending.redirect_uri,
        now=clock.now(),
        is_fresh=spec.max_age is not None or pending.purpose != Purpose.SIGN_IN,
        acr_values=acr_values_of(spec, pending),
    )


def claims_of_answer(text: str, pending: PendingSignIn, spec: ProviderSpec, *, tenant_id: uuid.UUID) -> dict[str, Any]:
    """Return the verified claims of the person whom the provider signed in, from the form field `SAMLResponse`.

    Raise the errors of `threada_site.kernel.errors.saml`, `IssuerMismatch`, `IdentityProviderRefused`,
    `IdentityProviderUnavailable`.
    """
    expected = Expected(
        issuer=spec.issuer,
        consumer=pending.redirect_uri,
        audience=entity_id_of(pending.redirect_uri),
        request_id=_request_id(pending),
        subject=spec.claims["subject"],
        max_age=spec.max_age,
        acr_values=acr_values_of(spec, pending),
        started=datetime.fromtimestamp(pending.started, UTC) if pending.purpose == Purpose.STEP_UP else None,
        now=clock.now(),
    )
    response = response_of(text)
    check_response(response, expected)
    assertion = _signed(response, spec, tenant_id)
    claims = claims_of(assertion, expected)
    if not use_once(f"saml {pending.version} {assertion.get('ID')}"):
        raise errors.SamlAssertionReplayed
    return claims


def _signed(response: Node, spec: ProviderSpec, tenant_id: uuid.UUID) -> Element:
    """Return the signed assertion. If no key fits, read the keys again from the address of the metadata."""
    metadata = metadata_of(spec, tenant_id=tenant_id)
    try:
        return signed_assertion(response, metadata.certificates)
    except errors.SamlSignatureInvalid:
        newer = newer_metadata(spec, metadata, tenant_id=tenant_id)
        if newer is None:
            raise
    return signed_assertion(response, newer.certificates)


def _request_id(pending: PendingSignIn) -> str:
    return f"id-{pending.nonce}"
