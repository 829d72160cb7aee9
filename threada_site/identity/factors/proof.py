"""Check of a code: of an authenticator app, or a recovery code where one is accepted."""

from __future__ import annotations

import re
from typing import Final

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.factors.events import FactorEvent, record_elsewhere, record_event
from threada_site.identity.factors.recovery_codes import recovery_codes_left, use_recovery_code
from threada_site.identity.factors.totp import use_totp
from threada_site.identity.sessions import contexts_of_person
from threada_site.identity.sign_in.attempts import begin_code_attempt
from threada_site.kernel import clock
from threada_site.kernel.factors import Factor
from threada_site.tenancy.models import User

_TOTP: Final = re.compile(r"\d{6}")


def use_code(
    person: User, typed: str, *, address: str, correlation_id: str, takes_recovery_code: bool
) -> Factor | None:
    """Use a code that a person typed. Return its factor, or None if it is not valid. Each code serves once.

    A wrong code is counted for the account and the address. Raise `SignInDelayed` if the attempt must wait. Opens its
    own units of work: an accepted code stays used if what follows is rolled back.
    """
    attempt = begin_code_attempt(person.username, address)
    code = "".join(typed.split())
    factor = None
    if _TOTP.fullmatch(code):
        factor = Factor.TOTP if use_totp(person.id, code) else None
    elif takes_recovery_code and _use_recovery_code(person, code, correlation_id=correlation_id):
        factor = Factor.RECOVERY_CODE
    if factor is not None:
        attempt.withdraw()
    return factor


def _use_recovery_code(person: User, code: str, *, correlation_id: str) -> bool:
    """Use a recovery code. Receipt `recovery_code.used` in each tenant of the person, who is notified."""
    contexts = contexts_of_person(
        person, None, factors=(Factor.PASSWORD.value,), correlation_id=correlation_id, signed_in_at=clock.now()
    )
    if not contexts:
        return False
    ctx = contexts[0]
    with unit_of_work(ctx.tenant_id, actor=ctx):
        if not use_recovery_code(person.id, code):
            return False
        left = recovery_codes_left(person.id)
        event = FactorEvent("recovery_code.used", "recovery_code_used", person, inputs={"left": left})
        record_event(event, ctx=ctx)
    record_elsewhere(event, ctx=ctx)
    return True
