"""Console addresses of sign-in at an identity provider: a tenant's providers, the redirect there, and the way back."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from threada_site.api.refusals import record_refusal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.console_sessions.provider_sessions import ProviderSession
from threada_site.identity.providers.documents import SAML, ProviderSpec, read_spec
from threada_site.identity.providers.links import identity_of, is_link_current, sign_in_identity
from threada_site.identity.selectors import identity_provider, identity_providers
from threada_site.identity.sign_in.attempts import forget_old_attempts, use_once
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, EntryPoint, system_context
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.extras import require_extra
from threada_site.sign_in.oidc import authorization_address, claims_of_answer
from threada_site.sign_in.pending import LONGEST_ONWARD, PendingSignIn
from threada_site.sign_in.slots import provider_slot
from threada_site.tenancy.models import IdentityProvider, IdentityProviderVersion, Tenant

CONSOLE: Final = "/console/"
_BACKEND: Final = "django.contrib.auth.backends.ModelBackend"


@never_cache
@require_safe
def providers_page(request: HttpRequest, tenant: str, frame: dict[str, Any]) -> HttpResponse:
    """Show the identity providers of a tenant. An unknown tenant looks like one without providers."""
    found = _tenant(tenant)
    listed: list[tuple[str, str]] = []
    if found is not None:
        with unit_of_work(found.id):
            listed = [
                (provider.name, reverse("admin:provider_sign_in", args=[tenant, provider.slug]))
                for provider in identity_providers(found.id)
            ]
    onward = _onward(request)
    context = {**frame, "title": "Sign in", "providers": listed, "onward": "" if onward == CONSOLE else onward}
    return render(request, "console/providers.html", context)


@never_cache
@require_safe
def start_sign_in(request: HttpRequest, tenant: str, provider: str, frame: dict[str, Any]) -> HttpResponse:
    """Redirect to the identity provider at once."""
    found = _tenant(tenant)
    version = _version(found, provider)
    if found is None or version is None:
        return HttpResponseRedirect(reverse("admin:tenant_sign_in", args=[tenant]))
    pending = PendingSignIn.start(
        version=str(version.id), redirect_uri=_redirect_uri(request, tenant, provider), onward=_onward(request)
    )
    spec = read_spec(version.spec)
    try:
        response = HttpResponseRedirect(_provider_address(spec, pending, found))
    except ThreadaError as refusal:
        return _refused(request, refusal, found, frame)
    pending.store(request, response, answer_is_posted=spec.protocol == SAML)
    return response


@require_safe
def service_provider_metadata(request: HttpRequest, tenant: str, provider: str) -> HttpResponse:
    """Return what a SAML provider has to know of Threada. It contains nothing that the address does not."""
    from threada_site.sign_in.saml.service_provider import service_metadata

    metadata = service_metadata(_redirect_uri(request, tenant, provider))
    return HttpResponse(metadata, content_type="application/samlmetadata+xml")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def finish_sign_in(request: HttpRequest, tenant: str, provider: str, frame: dict[str, Any]) -> HttpResponse:
    """Verify the answer of the identity provider, sign the person in and go on.

    An OpenID Connect provider redirects here; a SAML provider lets the browser post a form.
    """
    found = _tenant(tenant)
    version = _version(found, provider)
    try:
        if request.method == "POST" and not request.POST.get("RelayState"):
            raise errors.SamlUnsolicited
        pending = PendingSignIn.of_request(request)
        if found is None or version is None or pending.version != str(version.id):
            raise errors.SignInStateInvalid
    except ThreadaError as refusal:
        return _refused(request, refusal, None, frame)
    try:
        opened = _verified(request, found, version, pending)
    except errors.IdentityProviderBusy as refusal:
        return _refused(request, refusal, found, frame)  # the state still serves
    except ThreadaError as refusal:
        response = _refused(request, refusal, found, frame)
    else:
        response = _opened(request, opened, version, pending, frame)
    pending.forget(response)
    return response


def _opened(
    request: HttpRequest,
    opened: ProviderSession,
    version: IdentityProviderVersion,
    pending: PendingSignIn,
    frame: dict[str, Any],
) -> HttpResponse:
    """Open the session. End it again if the provider was changed or withdrawn before the session was stored."""
    request.session.flush()
    request.provider_tenant = opened.tenant_id  # type: ignore[attr-defined]
    login(request, opened.person, backend=_BACKEND)
    opened.store(request.session)
    request.session.save()
    with unit_of_work(opened.tenant_id):
        is_current = is_link_current(opened.link_id, version)
    if is_current:
        return HttpResponseRedirect(pending.onward)
    request.session.flush()
    request.user = AnonymousUser()
    return _refused(request, errors.SignInStateInvalid(), None, frame)


def _verified(
    request: HttpRequest, tenant: Tenant, version: IdentityProviderVersion, pending: PendingSignIn
) -> ProviderSession:
    """Return the session that the answer opens. The state serves once, also if the answer is refused.

    The calls to the provider are made outside of a transaction. The answer of a SAML provider needs none, unless its
    metadata is read again.
    """
    spec = read_spec(version.spec)
    with nullcontext() if spec.protocol == SAML else provider_slot(tenant.id):
        if not use_once(pending.state):
            raise errors.SignInStateInvalid
        forget_old_attempts()
        claims = _claims(request, tenant, version, spec, pending)
    identity = identity_of(claims, spec)
    with unit_of_work(tenant.id):
        provider = IdentityProvider.objects.select_for_update().get(tenant_id=tenant.id, id=version.provider_id)
        if provider.current_version_id != version.id:
            raise errors.SignInStateInvalid
        link = sign_in_identity(identity, provider, version, spec, ctx=_system(request, tenant))
        if request.user.is_authenticated and request.user != link.user:
            raise errors.SignedInAlready
    return ProviderSession(tenant_id=tenant.id, link_id=link.id, person=link.user)


def _provider_address(spec: ProviderSpec, pending: PendingSignIn, tenant: Tenant) -> str:
    """Return the address of the provider to which the browser is sent."""
    if spec.protocol != SAML:
        return authorization_address(spec, pending, tenant_id=tenant.id)
    require_extra("saml", use="`protocol: saml`")
    from threada_site.sign_in.saml.answer import sign_in_address

    return sign_in_address(spec, pending, tenant_id=tenant.id)


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
        return claims_of_answer(request.GET.dict(), pending, version, spec, tenant=tenant)
    require_extra("saml", use="`protocol: saml`")
    from threada_site.sign_in.saml import answer

    return answer.claims_of_answer(request.POST.get("SAMLResponse", ""), pending, spec, tenant_id=tenant.id)


def _redirect_uri(request: HttpRequest, tenant: str, provider: str) -> str:
    """Return the address to which the provider sends its answer."""
    address = reverse("admin:provider_callback", args=[tenant, provider])
    base = settings.THREADA_PUBLIC_URL.rstrip("/")
    return f"{base}{address}" if base else request.build_absolute_uri(address)


def _onward(request: HttpRequest) -> str:
    """Return the console page to go on to: a path of this host below /console/, else the dashboard."""
    asked = request.GET.get("next", "")
    is_here = (
        len(asked) <= LONGEST_ONWARD
        and asked.startswith(CONSOLE)
        and url_has_allowed_host_and_scheme(asked, allowed_hosts=None)
    )
    return asked if is_here and not asked.startswith(f"{CONSOLE}log") else CONSOLE


def _tenant(slug: str) -> Tenant | None:
    return Tenant.objects.filter(slug=slug, is_active=True).first() if ids.is_slug(slug) else None


def _version(tenant: Tenant | None, slug: str) -> IdentityProviderVersion | None:
    if tenant is None or not ids.is_slug(slug):
        return None
    with unit_of_work(tenant.id):
        found = identity_provider(slug, tenant_id=tenant.id)
    return None if found is None else found.current_version


def _system(request: HttpRequest, tenant: Tenant) -> ActingContext:
    return system_context(
        tenant_id=tenant.id,
        tenant_slug=tenant.slug,
        correlation_id=request.correlation_id,  # type: ignore[attr-defined]
        entry_point=EntryPoint.CONSOLE,
    )


def _refused(request: HttpRequest, refusal: ThreadaError, tenant: Tenant | None, frame: dict[str, Any]) -> HttpResponse:
    """Show a refusal. With a tenant, record it there: `tenant` is None until the state proved a sign-in from here."""
    record_refusal(refusal, ctx=_system(request, tenant) if tenant else None, request=request)
    context = {**frame, "title": "Sign-in refused", "reason": refusal.detail, "reason_code": refusal.reason_code}
    context["signs_out"] = isinstance(refusal, errors.SignedInAlready)
    response = render(request, "console/sign_in_refused.html", context, status=refusal.status)
    for name, value in refusal.headers.items():
        response.headers[name] = value
    if isinstance(refusal, errors.IdentityProviderBusy) and request.method != "POST":
        response.headers["Refresh"] = refusal.headers["Retry-After"]
    return response
