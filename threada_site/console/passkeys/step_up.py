"""Step-up by a passkey, in a session of the console."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from threada_site.admin.actions import OWN_UNIT_OF_WORK
from threada_site.admin.reauthentication import record_step_up
from threada_site.console.passkeys.requests import answer_of, correlation_of, json_answer, party_of, session_secret
from threada_site.identity.factors.passkeys.ceremonies import Purpose
from threada_site.identity.factors.passkeys.use import prove, start_proof
from threada_site.identity.sign_in.onward import onward_of
from threada_site.kernel import clock
from threada_site.kernel.factors import Factor


@never_cache
@require_POST
def step_up_options(request: HttpRequest) -> HttpResponse:
    """Return options for a step-up by a passkey of the person whose session this is."""
    person: Any = request.user

    def work() -> dict[str, Any]:
        party = party_of(request)
        return start_proof(Purpose.STEP_UP, person, party, browser=session_secret(request)).as_json()

    return json_answer(request, work)


@never_cache
@require_POST
def step_up(request: HttpRequest) -> HttpResponse:
    """Store in the session that its person used a passkey now. Answer with the page to go on to."""
    person: Any = request.user

    def work() -> dict[str, Any]:
        answer, party = answer_of(request), party_of(request)
        browser = session_secret(request)
        prove(
            answer, Purpose.STEP_UP, party, browser=browser, person_id=person.id, correlation_id=correlation_of(request)
        )
        record_step_up(request, Factor.PASSKEY, clock.now())
        return {"onward": onward_of(request)}

    return json_answer(request, work)


for _view in (step_up_options, step_up):
    _view.__dict__[OWN_UNIT_OF_WORK] = True
