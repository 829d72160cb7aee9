"""Links and step-ups: answers of identity providers inside a session, which must be the one that asked."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from threada_site.admin.reauthentication import record_step_up
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.console_sessions.provider_sessions import session_link
from threada_site.identity.factors.enrolled import enrolled_kinds
from threada_site.identity.providers.linking import link_identity, links_of_person
from threada_site.identity.sign_in.onward import onward_of
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.factors import has_second_factor
from threada_site.sign_in.answers import verified_answer
from threada_site.sign_in.pending import PendingSignIn, Purpose
from threada_site.sign_in.starting import (
    redirect_to_provider,
    refused,
    session_name,
    system_of,
    tenant_of,
    version_of,
)
from threada_site.tenancy.models import IdentityLink, IdentityProviderVersion, Tenant

_CONTINUED: Final = "continued"


@never_cache
@require_safe
def start_step_up(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Redirect to the provider that opened this session, which asks its person to sign in again."""
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    tenant = tenant_of(ctx.tenant_slug)
    link = _link_of_session(request, ctx)
    version = version_of(tenant, link.provider.slug) if link is not None else None
    if tenant is None or version is None:
        refusal = errors.StepUpFailed("No identity provider opened this session. Confirm in another way.")
        return refused(request, refusal, tenant, frame)
    return redirect_to_provider(
        request, tenant, version, onward=onward_of(request), frame=frame, purpose=Purpose.STEP_UP
    )


def finish_step_up(
    request: HttpRequest, tenant: Tenant, version: IdentityProviderVersion, pending: PendingSignIn
) -> HttpResponse:
    """Record a step-up if the person of this session has just signed in at the provider that opened it.

    It lasts from the time that the provider states. Raise `SignInStateInvalid` in another session, and `StepUpFailed`
    for another person, and for one with an enrolled second factor if the provider states none.
    """
    ctx = _session_that_asked(request, tenant, pending)
    answer = verified_answer(request, tenant, version, pending)
    link = _link_of_session(request, ctx)
    asked = None if link is None else (link.provider_id, link.issuer, link.subject, link.suspended_at)
    if asked != (version.provider_id, answer.identity.issuer, answer.identity.subject, None):
        raise errors.StepUpFailed("You signed in as somebody else at the identity provider. Nothing was confirmed.")
    if not has_second_factor(answer.factors) and enrolled_kinds(ctx.principal_id):
        raise errors.StepUpFailed(
            "You have a second factor here, and the identity provider states none. Confirm with your own."
        )
    now = clock.now()
    stated = datetime.fromtimestamp(answer.authenticated_at or 0, UTC)
    record_step_up(request, answer.factors[-1], min(now, stated))
    return HttpResponseRedirect(pending.onward)


def finish_link(
    request: HttpRequest, tenant: Tenant, version: IdentityProviderVersion, pending: PendingSignIn
) -> HttpResponse:
    """Link the account at the provider with the person of this session. Raise `SignInStateInvalid` in another one."""
    ctx = _session_that_asked(request, tenant, pending)
    answer = verified_answer(request, tenant, version, pending)
    with unit_of_work(tenant.id, actor=ctx):
        link_identity(answer.identity, version, ctx=ctx, system=system_of(request, tenant))
    shown = answer.identity.email or answer.identity.name or answer.identity.subject
    messages.success(
        request, _("The account {shown} at {name} now signs you in.").format(shown=shown, name=answer.spec.name)
    )
    return HttpResponseRedirect(reverse("admin:sign_in_methods"))


def lacks_session(request: HttpRequest, pending: PendingSignIn) -> bool:
    """Return True for a SAML answer that another site posted, so that the browser did not send the session's cookie."""
    is_anonymous = request.method == "POST" and not request.user.is_authenticated
    return is_anonymous and pending.session != "" and _CONTINUED not in request.POST


def continue_in_session(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Show a page that posts the answer once more, from this site, with the session's cookie. Nothing is verified."""
    fields = {name: request.POST.get(name, "") for name in ("SAMLResponse", "RelayState")}
    context = {**frame, "title": _("Back from your identity provider"), "fields": {**fields, _CONTINUED: "1"}}
    return render(request, "console/continue_in_session.html", context)


def _session_that_asked(request: HttpRequest, tenant: Tenant, pending: PendingSignIn) -> ActingContext:
    ctx: ActingContext | None = request.acting_context  # type: ignore[attr-defined]
    if ctx is None or ctx.tenant_id != tenant.id or not pending.session or session_name(request) != pending.session:
        raise errors.SignInStateInvalid
    return ctx


def _link_of_session(request: HttpRequest, ctx: ActingContext) -> IdentityLink | None:
    """Return the link that opened the session of a request; None for a session with a password."""
    link_id: uuid.UUID | None = session_link(request.session)
    with unit_of_work(ctx.tenant_id):
        links = links_of_person(ctx.principal_id, tenant_id=ctx.tenant_id) if link_id else []
    return next((link for link in links if link.id == link_id), None)
