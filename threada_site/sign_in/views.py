"""Console addresses of sign-in at an identity provider: a tenant's providers, the redirect there, and the way back."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.selectors import identity_providers
from threada_site.kernel import errors, ids
from threada_site.kernel.errors import ThreadaError
from threada_site.sign_in.answers import open_session_of
from threada_site.sign_in.in_session import continue_in_session, finish_link, finish_step_up, lacks_session
from threada_site.sign_in.pending import PendingSignIn, Purpose
from threada_site.sign_in.starting import (
    CONSOLE,
    onward_of,
    redirect_to_provider,
    redirect_uri,
    refused,
    tenant_of,
    version_of,
)
from threada_site.identity.console_sessions.provider_sessions import ProviderSession
from threada_site.identity.providers.documents import SAML, ProviderSpec, read_spec
from threada_site.identity.providers.links import identity_of, is_link_current, sign_in_identity
from threada_site.identity.selectors import identity_provider, identity_providers
from threada_site.identity.sign_in.attempts import forget_old_attempts, use_once
from threada_site.identity.sign_in.onward import CONSOLE, onward_of
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, EntryPoint, system_context
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.extras import require_extra
from threada_site.sign_in.oidc import authorization_address, claims_of_answer
from threada_site.sign_in.pending import PendingSignIn
from threada_site.sign_in.slots import provider_slot
from threada_site.tenancy.models import IdentityProvider, IdentityProviderVersion, Tenant

_BACKEND: Final = "django.contrib.auth.backends.ModelBackend"


@never_cache
@require_safe
def providers_page(request: HttpRequest, tenant: str, frame: dict[str, Any]) -> HttpResponse:
    """Show the identity providers of a tenant. An unknown tenant looks like one without providers."""
    onward = onward_of(request)
    context = {
        **frame,
        "title": "Sign in",
        "tenant": tenant if ids.is_slug(tenant) else "",
        "providers": provider_links(tenant),
        "onward": "" if onward == CONSOLE else onward,
    }
    return render(request, "console/providers.html", context)


def provider_links(tenant: str) -> list[tuple[str, str]]:
    """Return names and addresses of the identity providers of a tenant; none for an unknown tenant."""
    found = tenant_of(tenant)
    if found is None:
        return []
    with unit_of_work(found.id):
        return [
            (provider.name, reverse("admin:provider_sign_in", args=[tenant, provider.slug]))
            for provider in identity_providers(found.id)
        ]


@never_cache
@require_safe
def start_sign_in(request: HttpRequest, tenant: str, provider: str, frame: dict[str, Any]) -> HttpResponse:
    """Redirect to the identity provider at once."""
    found = tenant_of(tenant)
    version = version_of(found, provider)
    if found is None or version is None:
        return HttpResponseRedirect(reverse("admin:tenant_sign_in", args=[tenant]))
    return redirect_to_provider(request, found, version, onward=onward_of(request), frame=frame)
    pending = PendingSignIn.start(
        version=str(version.id), redirect_uri=_redirect_uri(request, tenant, provider), onward=onward_of(request)
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

    metadata = service_metadata(redirect_uri(request, tenant, provider))
    return HttpResponse(metadata, content_type="application/samlmetadata+xml")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def finish_sign_in(request: HttpRequest, tenant: str, provider: str, frame: dict[str, Any]) -> HttpResponse:
    """Verify the answer of the identity provider and do what was started: sign in, link, or step up.

    An OpenID Connect provider redirects here; a SAML provider lets the browser post a form.
    """
    found = tenant_of(tenant)
    version = version_of(found, provider)
    try:
        if request.method == "POST" and not request.POST.get("RelayState"):
            raise errors.SamlUnsolicited
        pending = PendingSignIn.of_request(request)
        if found is None or version is None or pending.version != str(version.id):
            raise errors.SignInStateInvalid
    except ThreadaError as refusal:
        return refused(request, refusal, None, frame)
    if pending.purpose != Purpose.SIGN_IN and lacks_session(request):
        return continue_in_session(request, frame)
    try:
        response = _FINISH[Purpose(pending.purpose)](request, found, version, pending)
    except errors.IdentityProviderBusy as refusal:
        return refused(request, refusal, found, frame)  # the state still serves
    except ThreadaError as refusal:
        response = refused(request, refusal, found, frame)
    pending.forget(response)
    return response


_FINISH: Final = {Purpose.SIGN_IN: open_session_of, Purpose.LINK: finish_link, Purpose.STEP_UP: finish_step_up}
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
