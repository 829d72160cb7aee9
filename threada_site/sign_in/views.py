"""Console addresses of sign-in at an identity provider: a tenant's providers, the redirect there, and the way back."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.selectors import identity_providers
from threada_site.identity.sign_in.onward import onward_of
from threada_site.kernel import errors, ids
from threada_site.kernel.errors import ThreadaError
from threada_site.sign_in.answers import open_session_of
from threada_site.sign_in.in_session import continue_in_session, finish_link, finish_step_up, lacks_session
from threada_site.sign_in.pending import PendingSignIn, Purpose
from threada_site.sign_in.starting import (
    CONSOLE,
    redirect_to_provider,
    redirect_uri,
    refused,
    tenant_of,
    version_of,
)


@never_cache
@require_safe
def providers_page(request: HttpRequest, tenant: str, frame: dict[str, Any]) -> HttpResponse:
    """Show the identity providers of a tenant. An unknown tenant looks like one without providers."""
    onward = onward_of(request)
    context = {
        **frame,
        "title": _("Sign in"),
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
    if lacks_session(request, pending):
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
