"""Sign-in with a passkey alone, and with a passkey after the password."""

from __future__ import annotations

from typing import Any

import structlog
from django.contrib.auth.signals import user_login_failed
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from threada_site.api.refusals import record_refusal
from threada_site.console.passkeys.requests import answer_of, correlation_of, csrf_secret, json_answer, party_of
from threada_site.console.policies import CONSOLE
from threada_site.console.signing_in import origin_of, remember_browser
from threada_site.identity.factors.passkeys.answers import credential_id_of
from threada_site.identity.factors.passkeys.ceremonies import Ceremony, Purpose
from threada_site.identity.factors.passkeys.use import account_of, prove, start_proof, start_sign_in
from threada_site.identity.factors.second_step import PendingSecondStep, complete_second_step, open_session
from threada_site.identity.selectors import tenants_of_person
from threada_site.identity.sign_in.attempts import begin_attempt, begin_code_attempt
from threada_site.identity.sign_in.onward import onward_of
from threada_site.kernel import errors
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.factors import Factor
from threada_site.tenancy.models import User

log = structlog.get_logger("threada.console")


@never_cache
@require_POST
def sign_in_options(request: HttpRequest) -> HttpResponse:
    """Return options for a sign-in by any passkey. Stores nothing, whoever asks."""
    return json_answer(request, lambda: start_sign_in(party_of(request), browser=csrf_secret(request)).as_json())


@never_cache
@require_POST
def sign_in_with_passkey(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Sign the person of a passkey in. It must have checked the person, so it counts as two factors.

    Attempts count and wait like those with a password. A challenge that is not from here is refused before.
    """
    account: User | None = None
    try:
        answer, party, browser = answer_of(request), party_of(request), csrf_secret(request)
        Ceremony.opened(answer.ceremony, Purpose.SIGN_IN, party, browser=browser)
        named = account_of(answer)
        counted = named.username if named is not None else f"passkey {credential_id_of(answer.credential).hex()[:64]}"
        attempt = begin_attempt(counted, origin_of(request))
        account = named
        person = prove(answer, Purpose.SIGN_IN, party, browser=browser, correlation_id=correlation_of(request))
        check_local_sign_in(person)
        open_session(request, person, (Factor.PASSKEY,))
    except ThreadaError as refusal:
        return _refused(request, refusal, account, frame)
    attempt.succeeded()
    response = HttpResponseRedirect(onward_of(request))
    remember_browser(request, response, person.username)
    return response


@never_cache
@require_POST
def second_step_options(request: HttpRequest) -> HttpResponse:
    """Return options for the second step of the sign-in that is pending in this browser."""

    def work() -> dict[str, Any]:
        pending = PendingSecondStep.of_request(request)
        person = pending.account()
        return start_proof(Purpose.SECOND_STEP, person, party_of(request), browser=pending.nonce).as_json()

    return json_answer(request, work)


@never_cache
@require_POST
def second_step_with_passkey(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Complete a sign-in whose password was right by a passkey of its person."""
    account: User | None = None
    try:
        answer, party, pending = answer_of(request), party_of(request), PendingSecondStep.of_request(request)
        person = pending.account()
        attempt = begin_code_attempt(person.username, origin_of(request).address)
        account = person
        prove(
            answer,
            Purpose.SECOND_STEP,
            party,
            browser=pending.nonce,
            person_id=person.id,
            correlation_id=correlation_of(request),
        )
        check_local_sign_in(person)
        response = complete_second_step(request, person, Factor.PASSKEY)
    except ThreadaError as refusal:
        return _refused(request, refusal, account, frame)
    attempt.withdraw()
    remember_browser(request, response, person.username)
    return response


def check_local_sign_in(person: User) -> None:
    """Raise an error if a person may not sign in here: a member of no tenant, or only of ones that enforce a provider.

    Raise `TenantMismatch` and `IdentityProviderRequired`.
    """
    tenants = tenants_of_person(person)
    if not tenants:
        raise errors.TenantMismatch("You are not a member of any tenant. Ask a tenant administrator.")
    if not any(tenant.takes_password for tenant in tenants):
        raise errors.IdentityProviderRequired(f"Sign in at your identity provider: {CONSOLE}login/{tenants[0].slug}/")


def _refused(request: HttpRequest, refusal: ThreadaError, account: User | None, frame: dict[str, Any]) -> HttpResponse:
    """Show a refusal. `account`: the person whose failed sign-in is recorded; None before its passkey was checked."""
    log.info("passkey_refused", reason_code=refusal.reason_code)
    if account is not None:
        credentials = {"username": account.username}
        user_login_failed.send(sender=__name__, credentials=credentials, request=request)
    record_refusal(refusal, ctx=None, request=request)
    context = {**frame, "title": _("Sign-in refused"), "reason": refusal.detail, "reason_code": refusal.reason_code}
    response = render(request, "console/sign_in_refused.html", context, status=refusal.status)
    for name, value in refusal.headers.items():
        response.headers[name] = value
    return response
