"""Start of a sign-in at an identity provider, and what its pages share."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from threada_site.api.refusals import record_refusal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.providers.documents import SAML, ProviderSpec, read_spec
from threada_site.identity.selectors import identity_provider
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, EntryPoint, system_context
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.extras import require_extra
from threada_site.sign_in.pending import PendingSignIn, Purpose
from threada_site.tenancy.models import IdentityProviderVersion, Tenant

CONSOLE: Final = "/console/"


def redirect_to_provider(
    request: HttpRequest,
    tenant: Tenant,
    version: IdentityProviderVersion,
    *,
    onward: str,
    frame: dict[str, Any],
    purpose: Purpose = Purpose.SIGN_IN,
) -> HttpResponse:
    """Return the redirect to the provider, with the cookie of the sign-in; or the page of a refusal."""
    try:
        address, pending = begin(request, tenant, version, onward=onward, purpose=purpose)
    except ThreadaError as refusal:
        return refused(request, refusal, tenant, frame)
    response = HttpResponseRedirect(address)
    pending.store(request, response, answer_is_posted=read_spec(version.spec).protocol == SAML)
    return response


def begin(
    request: HttpRequest,
    tenant: Tenant,
    version: IdentityProviderVersion,
    *,
    onward: str,
    purpose: Purpose = Purpose.SIGN_IN,
) -> tuple[str, PendingSignIn]:
    """Return the address of the provider and the sign-in to store. Raise `IdentityProviderUnavailable` and others."""
    spec = read_spec(version.spec)
    pending = PendingSignIn.start(
        version=str(version.id),
        redirect_uri=redirect_uri(request, tenant.slug, version.provider.slug),
        onward=onward,
        purpose=purpose,
        session=session_name(request),
    )
    return _provider_address(spec, pending, tenant), pending


def _provider_address(spec: ProviderSpec, pending: PendingSignIn, tenant: Tenant) -> str:
    """Return the address of the provider to which the browser is sent."""
    if spec.protocol != SAML:
        from threada_site.sign_in.oidc import authorization_address  # joserfc is loaded on first use

        return authorization_address(spec, pending, tenant_id=tenant.id)
    require_extra("saml", use="`protocol: saml`")
    from threada_site.sign_in.saml.answer import sign_in_address

    return sign_in_address(spec, pending, tenant_id=tenant.id)


def redirect_uri(request: HttpRequest, tenant: str, provider: str) -> str:
    """Return the address to which the provider sends its answer."""
    address = reverse("admin:provider_callback", args=[tenant, provider])
    base = settings.THREADA_PUBLIC_URL.rstrip("/")
    return f"{base}{address}" if base else request.build_absolute_uri(address)


def session_name(request: Any) -> str:
    """Return the id of the console session of a request, which is no secret; "" without one."""
    return str(request.session.row_id or "") if request.user.is_authenticated else ""


def tenant_of(slug: str) -> Tenant | None:
    return Tenant.objects.filter(slug=slug, is_active=True).first() if ids.is_slug(slug) else None


def version_of(tenant: Tenant | None, slug: str) -> IdentityProviderVersion | None:
    """Return the current version of a provider, with the provider."""
    if tenant is None or not ids.is_slug(slug):
        return None
    with unit_of_work(tenant.id):
        found = identity_provider(slug, tenant_id=tenant.id)
    if found is None or found.current_version is None:
        return None
    found.current_version.provider = found
    return found.current_version


def system_of(request: HttpRequest, tenant: Tenant) -> ActingContext:
    return system_context(
        tenant_id=tenant.id,
        tenant_slug=tenant.slug,
        correlation_id=request.correlation_id,  # type: ignore[attr-defined]
        entry_point=EntryPoint.CONSOLE,
    )


def refused(request: HttpRequest, refusal: ThreadaError, tenant: Tenant | None, frame: dict[str, Any]) -> HttpResponse:
    """Show a refusal. With a tenant, record it there: `tenant` is None until the state proved a sign-in from here."""
    record_refusal(refusal, ctx=system_of(request, tenant) if tenant else None, request=request)
    context = {
        **frame,
        "title": _("Sign-in refused"),
        "reason": refusal.detail,
        "reason_code": refusal.reason_code,
        "signs_out": isinstance(refusal, errors.SignedInAlready),
    }
    response = render(request, "console/sign_in_refused.html", context, status=refusal.status)
    for name, value in refusal.headers.items():
        response.headers[name] = value
    if isinstance(refusal, errors.IdentityProviderBusy) and request.method != "POST":
        response.headers["Refresh"] = refusal.headers["Retry-After"]
    return response
