"""The tenant that a user works in: stored in the session, checked with every request."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from threada_site.admin.reauthentication import reauthenticated_at
from threada_site.console.session_engine import ACTING_TENANT, SIGNED_IN_AT, sign_in_time
from threada_site.identity.console_sessions.provider_sessions import is_opened_by_provider, may_act_in
from threada_site.identity.selectors import TenantChoice, console_context, tenants_with_grants
from threada_site.identity.sessions import record_tenant_choice, session_authentication
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, ObjectGrants, PrincipalKind
from threada_site.kernel.factors import has_second_factor, session_factors
from threada_site.kernel.source import source_of

CHOOSE_TENANT: Final = "choose_tenant"
_SESSION_KEY: Final = "tenant"


def console_context_of(request: HttpRequest) -> ActingContext | None:
    """Return the acting context; None if nobody is signed in or no tenant is chosen.

    Only people who are members may use the console. With one tenant there is nothing to choose.
    """
    user: Any = request.user
    request.tenant_choices = []  # type: ignore[attr-defined]
    if not user.is_authenticated or user.kind != PrincipalKind.HUMAN:
        return None
    slug = request.session.get(_SESSION_KEY)
    choices = [tenant for tenant in tenants_with_grants(user, chosen=slug) if _may_choose(request, tenant)]
    request.tenant_choices = choices  # type: ignore[attr-defined]
    if slug is None and len(choices) == 1:
        slug = choices[0].slug
    if slug is None:
        return None
    try:
        ctx = console_context(user, slug, request.correlation_id, choices=choices)  # type: ignore[attr-defined]
    except (errors.TenantMismatch, errors.PrincipalInactive):
        request.session.pop(_SESSION_KEY, None)
        request.session.pop(ACTING_TENANT, None)
        return None
    ctx = replace(_signed_in(ctx, request), reauthenticated_at=reauthenticated_at(request))
    chosen = next(choice for choice in choices if choice.tenant_id == ctx.tenant_id)
    if not chosen.requires_mfa:
        return ctx
    if chosen.needs_second_factor and not has_second_factor(ctx.authentication.factors):
        request.lacks_second_factor = True  # type: ignore[attr-defined]
        ctx = replace(ctx, roles=frozenset(), scopes=frozenset(), grants=ObjectGrants())
    return replace(ctx, acts_with_step_up=True)


def lacks_second_factor(request: HttpRequest) -> bool:
    """Return True if the tenant requires a second factor of the person, and the session has none."""
    return getattr(request, "lacks_second_factor", False)


def _may_choose(request: HttpRequest, tenant: TenantChoice) -> bool:
    """Return True if the session may act in a tenant: opened by its identity provider, or where passwords suffice."""
    if is_opened_by_provider(request.session):
        return may_act_in(request.session, tenant.tenant_id)
    return tenant.takes_password


def _signed_in(ctx: ActingContext, request: HttpRequest) -> ActingContext:
    """Return `ctx` with the authentication of the session."""
    authentication = session_authentication(
        is_by_provider=is_opened_by_provider(request.session),
        factors=session_factors(request.session),
        signed_in_at=signed_in_at(request),
    )
    return replace(ctx, authentication=authentication)


def signed_in_at(request: HttpRequest) -> datetime | None:
    """Return the time of the sign-in of this session, or None if nobody has signed in."""
    return sign_in_time(request.session)


def store_sign_in_time(request: HttpRequest, **_signal: Any) -> None:
    """Store the time of the sign-in in the session. Receiver of `user_logged_in`."""
    if hasattr(request, "session"):
        request.session[SIGNED_IN_AT] = clock.now().timestamp()


@require_http_methods(["GET", "POST"])
def choose_tenant(request: HttpRequest) -> HttpResponse:
    """Show and handle the choice of a tenant."""
    user: Any = request.user
    if not user.is_authenticated:
        return HttpResponseRedirect(reverse("admin:login"))
    choices: list[TenantChoice] = request.tenant_choices  # type: ignore[attr-defined]
    onward = request.POST.get("next") or request.GET.get("next") or ""
    if not url_has_allowed_host_and_scheme(onward, allowed_hosts={request.get_host()}):
        onward = reverse("admin:index")
    if request.method == "POST":
        chosen = next((choice for choice in choices if choice.slug == request.POST.get("tenant")), None)
        if chosen is not None:
            ctx = console_context(user, chosen.slug, request.correlation_id)  # type: ignore[attr-defined]
            record_tenant_choice(
                user,
                source_of(request.META, is_behind_proxy=settings.THREADA_TRUSTED_PROXY),
                ctx=_signed_in(ctx, request),
            )
            request.session[_SESSION_KEY] = chosen.slug
            request.session[ACTING_TENANT] = str(chosen.tenant_id)
            # The previous page belongs to the previous tenant.
            has_no_origin = request.acting_context is None  # type: ignore[attr-defined]
            return HttpResponseRedirect(onward if has_no_origin else reverse("admin:index"))
        messages.error(request, _("You are not a member of this tenant. Choose another one."))
    from django.contrib.admin import site

    return TemplateResponse(
        request,
        "console/choose_tenant.html",
        {**site.each_context(request), "title": _("Choose a tenant"), "choices": choices, "next": onward},
    )
