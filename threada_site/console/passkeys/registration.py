"""Registration of a passkey, on the page of second factors."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from threada_site.admin.actions import OWN_UNIT_OF_WORK
from threada_site.console.passkeys.requests import answer_of, json_answer, party_of, session_secret
from threada_site.identity.factors.events import FactorEvent
from threada_site.identity.factors.passkeys.registration import register_passkey, start_registration
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext


@never_cache
@require_POST
def registration_options(request: HttpRequest) -> HttpResponse:
    """Return options for a new passkey."""
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]

    def work() -> dict[str, Any]:
        return start_registration(party_of(request), browser=session_secret(request), ctx=ctx).as_json()

    return json_answer(request, work)


registration_options.__dict__[OWN_UNIT_OF_WORK] = True


def register_sent_passkey(request: HttpRequest, *, ctx: ActingContext) -> FactorEvent:
    """Register the passkey that the form contains."""
    answer, label = answer_of(request), request.POST.get("label", "")
    return register_passkey(answer, label, party_of(request), browser=session_secret(request), ctx=ctx)


def has_passkeys_here(request: HttpRequest) -> bool:
    """Return True if browsers know passkeys at the address of this instance."""
    try:
        party_of(request)
    except errors.PasskeysUnavailable:
        return False
    return True
