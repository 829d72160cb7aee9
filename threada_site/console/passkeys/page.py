"""Console page of one's own passkeys: register, rename and remove them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from threada_site.admin.actions import OWN_UNIT_OF_WORK, sentences
from threada_site.admin.reauthentication import reauthenticate
from threada_site.api.refusals import as_threada_error, record_refusal
from threada_site.console.passkeys.requests import answer_of, json_answer, party_of, session_secret, told_of
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.factors.passkeys.registration import (
    register_passkey,
    remove_passkey,
    rename_passkey,
    start_registration,
)
from threada_site.identity.factors.passkeys.stored import passkeys_of
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, AuthenticationMethod
from threada_site.kernel.errors import ThreadaError
from threada_site.tenancy.factor_models import LABEL_LENGTH


@require_http_methods(["GET", "HEAD", "POST"])
def passkeys_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Show the passkeys. Register, rename or remove one, or confirm by the password that it is the person."""
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    problems: list[str] = []
    if request.method == "POST":
        try:
            messages.success(request, _change(request, ctx))
        except ThreadaError as error:
            refusal = as_threada_error(error)
            record_refusal(refusal, ctx=ctx, request=request)
            problems = sentences(refusal)
        else:
            return HttpResponseRedirect(reverse("admin:passkeys"))
        if not request.user.is_authenticated:
            return HttpResponseRedirect(reverse("admin:login"))
    is_own = ctx.authentication.method is AuthenticationMethod.SESSION
    context = {
        **frame,
        "title": "Passkeys",
        "list_title": "Dashboard",
        "list_url": reverse("admin:index"),
        "passkeys": passkeys_of(ctx.principal_id),
        "here": _host(request),
        "may_change": is_own,
        "is_fresh": is_own and ctx.recently_reauthenticated(clock.now()),
        "longest": LABEL_LENGTH,
        "problems": problems,
    }
    with unit_of_work(ctx.tenant_id, actor=ctx):
        return render(request, "console/passkeys.html", context, status=422 if problems else 200)


@never_cache
@require_POST
def registration_options(request: HttpRequest) -> HttpResponse:
    """Return options for a new passkey."""
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]

    def work() -> dict[str, Any]:
        return start_registration(party_of(request), browser=session_secret(request), ctx=ctx).as_json()

    return json_answer(request, work)


registration_options.__dict__[OWN_UNIT_OF_WORK] = True


def _change(request: HttpRequest, ctx: ActingContext) -> str:
    """Carry out what the form asks for. Return the message."""
    source = told_of(request)["source"]
    name = request.POST.get("name", "")
    factor_id = ids.parse_public_id(ids.FACTOR, request.POST.get("passkey", ""))
    match request.POST.get("action"):
        case "register":
            answer, browser = answer_of(request), session_secret(request)
            register_passkey(answer, name, party_of(request), browser=browser, source=source, ctx=ctx)
            return "Your passkey is registered."
        case "rename" if factor_id is not None:
            rename_passkey(factor_id, name, source, ctx=ctx)
            return "Your passkey is renamed."
        case "remove" if factor_id is not None:
            remove_passkey(factor_id, source, ctx=ctx)
            return "Your passkey is removed."
        case "confirm":
            reauthenticate(request, ctx)
            return "Thank you. You can change your passkeys for five minutes."
        case _:
            raise errors.NotFound("You have no such passkey.")


def _host(request: HttpRequest) -> str:
    """Return the host that passkeys are bound to here; "" where there can be none."""
    try:
        return party_of(request).id
    except errors.PasskeysUnavailable:
        return ""
