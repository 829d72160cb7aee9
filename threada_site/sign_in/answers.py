"""Verified answers of identity providers, and the session that a sign-in opens."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.console_sessions.provider_sessions import ProviderSession
from threada_site.identity.factors.provider_factor import provider_factor
from threada_site.identity.factors.second_step import open_session
from threada_site.identity.providers.documents import SAML, ProviderSpec, read_spec
from threada_site.identity.providers.links import Identity, identity_of, is_link_current, sign_in_identity
from threada_site.identity.sign_in.attempts import forget_old_attempts, use_once
from threada_site.kernel import errors
from threada_site.kernel.extras import require_extra
from threada_site.kernel.factors import Factor
from threada_site.sign_in.pending import PendingSignIn
from threada_site.sign_in.slots import provider_slot
from threada_site.sign_in.starting import system_of
from threada_site.tenancy.models import IdentityProvider, IdentityProviderVersion, Tenant


@dataclass(frozen=True, slots=True)
class Answer:
    """Verified answer of a provider. `authenticated_at`: seconds since 1970, if the provider states them."""

    spec: ProviderSpec
    identity: Identity
    factors: tuple[Factor, ...]
    authenticated_at: float | None


def verified_answer(
    request: HttpRequest, tenant: Tenant, version: IdentityProviderVersion, pending: PendingSignIn
) -> Answer:
    """Return the verified answer. The state serves once, also if the answer is refused.

    The calls to the provider are made outside of a transaction. The answer of a SAML provider needs none, unless its
    metadata is read again.
    """
    spec = read_spec(version.spec)
    with nullcontext() if spec.protocol == SAML else provider_slot(tenant.id):
        if not use_once(pending.state):
            raise errors.SignInStateInvalid
        forget_old_attempts()
        claims = _claims(request, tenant, version, spec, pending)
    second = provider_factor(claims.get("amr"), claims.get("acr"), spec)
    at = claims.get("auth_time")
    return Answer(
        spec=spec,
        identity=identity_of(claims, spec),
        factors=(Factor.PROVIDER, second) if second else (Factor.PROVIDER,),
        authenticated_at=float(at) if isinstance(at, int | float) else None,
    )


def _claims(
    request: HttpRequest,
    tenant: Tenant,
    version: IdentityProviderVersion,
    spec: ProviderSpec,
    pending: PendingSignIn,
) -> dict[str, Any]:
    """Return the verified claims of an answer that arrived as the provider's protocol says."""
    if (request.method == "POST") != (spec.protocol == SAML):
        raise errors.SignInStateInvalid
    if spec.protocol != SAML:
        from threada_site.sign_in.oidc import claims_of_answer  # joserfc is loaded on first use

        return claims_of_answer(request.GET.dict(), pending, version, spec, tenant=tenant)
    require_extra("saml", use="`protocol: saml`")
    from threada_site.sign_in.saml import answer

    return answer.claims_of_answer(request.POST.get("SAMLResponse", ""), pending, spec, tenant_id=tenant.id)


def open_session_of(
    request: HttpRequest, tenant: Tenant, version: IdentityProviderVersion, pending: PendingSignIn
) -> HttpResponse:
    """Sign the person in. End the session again if the provider was changed before the session was stored.

    Raise `SignedInAlready` in a session of somebody else, and `SignInStateInvalid` for a post without the session that
    was open when the sign-in started: it may still be open, and would be replaced.
    """
    if request.method == "POST" and pending.session and not request.user.is_authenticated:
        raise errors.SignInStateInvalid
    answer = verified_answer(request, tenant, version, pending)
    with unit_of_work(tenant.id):
        provider = IdentityProvider.objects.select_for_update().get(tenant_id=tenant.id, id=version.provider_id)
        if provider.current_version_id != version.id:
            raise errors.SignInStateInvalid
        link = sign_in_identity(answer.identity, provider, version, answer.spec, ctx=system_of(request, tenant))
        if request.user.is_authenticated and request.user != link.user:
            raise errors.SignedInAlready
    opened = ProviderSession(tenant_id=tenant.id, link_id=link.id, person=link.user)
    request.provider_tenant = opened.tenant_id  # type: ignore[attr-defined]

    def is_current() -> bool:
        with unit_of_work(tenant.id):
            return is_link_current(link.id, version)

    open_session(request, opened.person, answer.factors, opened=opened, is_current=is_current)
    return HttpResponseRedirect(pending.onward)
