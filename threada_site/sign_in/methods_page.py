"""Console page of one's own sign-in methods: accounts at the tenant's identity providers."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from threada_site.admin.actions import Call, Done, carry_out, sentences
from threada_site.admin.reauthentication import proof_asked, reauthenticate
from threada_site.api.refusals import record_refusal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.console_sessions.provider_sessions import is_opened_by_provider, session_link
from threada_site.identity.providers.documents import SAML, read_spec
from threada_site.identity.providers.linking import links_of_person, unlink_identity
from threada_site.identity.selectors import identity_providers
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError
from threada_site.sign_in.pending import Purpose
from threada_site.sign_in.starting import begin, system_of, tenant_of, version_of

PAGE: Final = "admin:sign_in_methods"


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def methods_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Show the linked accounts, start a link, or end one. Both need a step-up within the last five minutes."""
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    if request.method != "POST":
        return _page(request, ctx, frame)
    try:
        ctx = reauthenticate(request, ctx)
        if not ctx.recently_reauthenticated(clock.now()):
            raise errors.StepUpFailed("Prove who you are first. Nothing was changed.")
        if "link" in request.POST:
            return _continue(request, ctx, request.POST["link"], frame)
    except ThreadaError as refusal:
        record_refusal(refusal, ctx=ctx, request=request)
        return _page(request, ctx, frame, problems=sentences(refusal), status=refusal.status)
    return _unlink(request, ctx)


def _continue(request: HttpRequest, ctx: ActingContext, slug: str, frame: dict[str, Any]) -> HttpResponse:
    """Show a page that goes on to the provider: `form-action` in the CSP forbids that a form redirects there."""
    tenant = tenant_of(ctx.tenant_slug)
    version = version_of(tenant, slug)
    if tenant is None or version is None:
        raise errors.NotFound("There is no such identity provider.")
    address, pending = begin(request, tenant, version, onward=reverse(PAGE), purpose=Purpose.LINK)
    context = {
        **_frame(frame),
        "title": _("Link your account at {name}").format(name=version.provider.name),
        "address": address,
    }
    response = render(request, "console/continue_to_provider.html", context)
    response.headers["Refresh"] = f"0; url={address}"
    pending.store(request, response, answer_is_posted=read_spec(version.spec).protocol == SAML)
    return response


def _unlink(request: HttpRequest, ctx: ActingContext) -> HttpResponse:
    link_id = ids.parse_public_id(ids.IDENTITY_LINK, request.POST.get("unlink", ""))
    tenant = tenant_of(ctx.tenant_slug)

    def unlink(call: Call) -> Done:
        if link_id is None or tenant is None:
            raise errors.NotFound("You have no such link.")
        link = unlink_identity(link_id, ctx=call.ctx, system=system_of(request, tenant))
        return Done(_("The account at {name} does not sign you in any more.").format(name=link.provider.name))

    is_own = session_link(request.session) == link_id
    outcome = carry_out(Call(request, ctx, ""), None, unlink)
    if isinstance(outcome, ThreadaError):
        for sentence in sentences(outcome):
            messages.error(request, sentence)
    elif is_own:
        logout(request)
        return HttpResponseRedirect(reverse("admin:login"))
    else:
        messages.success(request, outcome.message)
    return HttpResponseRedirect(reverse(PAGE))


def _page(
    request: HttpRequest,
    ctx: ActingContext,
    frame: dict[str, Any],
    *,
    problems: list[str] | None = None,
    status: int = 200,
) -> HttpResponse:
    with unit_of_work(ctx.tenant_id, actor=ctx):
        links = links_of_person(ctx.principal_id, tenant_id=ctx.tenant_id)
        linked = {link.provider_id for link in links}
        providers = [one for one in identity_providers(ctx.tenant_id) if one.id not in linked]
        context = {
            **_frame(frame),
            "title": _("Sign-in methods"),
            "links": links,
            "providers": providers,
            "problems": problems or [],
            "proof": proof_asked(ctx),
            "has_stepped_up": ctx.recently_reauthenticated(clock.now()),
            "is_by_provider": is_opened_by_provider(request.session),
        }
        return render(request, "console/sign_in_methods.html", context, status=status)


def _frame(frame: dict[str, Any]) -> dict[str, Any]:
    return {**frame, "list_title": _("Dashboard"), "list_url": reverse("admin:index")}
