"""Use of a passkey: sign-in without a password, second step of a sign-in, and step-up."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from threada_site.identity.factors.events import record_cloned_passkey
from threada_site.identity.factors.passkeys.answers import credential_id_of
from threada_site.identity.factors.passkeys.ceremonies import Ceremony, Purpose
from threada_site.identity.factors.passkeys.relying_party import RelyingParty
from threada_site.identity.factors.passkeys.stored import as_stored, passkeys_of
from threada_site.identity.factors.passkeys.verification import (
    Assertion,
    assertion_options,
    verify_assertion,
)
from threada_site.identity.sign_in.attempts import use_once
from threada_site.kernel import clock, errors
from threada_site.kernel.context import PrincipalKind
from threada_site.tenancy.factor_models import Passkey
from threada_site.tenancy.models import User


@dataclass(frozen=True, slots=True)
class Options:
    """What the page passes to the browser (`public_key`), and the signed ceremony that it sends back (`ceremony`)."""

    public_key: dict[str, Any]
    ceremony: str

    def as_json(self) -> dict[str, Any]:
        return {"publicKey": self.public_key, "ceremony": self.ceremony}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the page sends: the signed ceremony and the answer of the passkey."""

    ceremony: str
    credential: Mapping[str, Any]


def start_sign_in(party: RelyingParty, *, browser: str) -> Options:
    """Return options by which any passkey of this host may sign its person in. Stores nothing."""
    ceremony = Ceremony.start(Purpose.SIGN_IN, party, browser=browser)
    return Options(assertion_options(ceremony, must_verify=_must_verify(Purpose.SIGN_IN)), ceremony.sealed())


def start_proof(purpose: Purpose, person: User, party: RelyingParty, *, browser: str) -> Options:
    """Return options for a second step or a step-up by a passkey of `person`. Raise `PasskeyUnknown` without one."""
    known = [as_stored(row) for row in passkeys_of(person.id, rp_id=party.id)]
    if not known:
        raise errors.PasskeyUnknown("You have no passkey at this address. Use another way.")
    ceremony = Ceremony.start(purpose, party, browser=browser, person=person.id)
    return Options(assertion_options(ceremony, known=known, must_verify=_must_verify(purpose)), ceremony.sealed())


def account_of(answer: Answer) -> User | None:
    """Return the person of the passkey that an answer names, before anything of it is verified; else None."""
    row = Passkey.objects.filter(credential_id=credential_id_of(answer.credential)).select_related("factor__user")
    found = row.first()
    return None if found is None else found.factor.user


def prove(
    answer: Answer,
    purpose: Purpose,
    party: RelyingParty,
    *,
    browser: str,
    person_id: uuid.UUID | None = None,
    correlation_id: str,
) -> User:
    """Return the person of the passkey that a verified answer was made with, and store the use.

    For `Purpose.SIGN_IN`, any person's passkey of this host signs in; otherwise it must be one of `person_id`. Opens
    its own transaction. Raise `PasskeyChallengeInvalid`, also for an answer that was used already,
    `PasskeyChallengeExpired`, `PasskeyOriginRefused`, `PasskeyUserNotVerified`, `PasskeyUnknown`, `PasskeyInvalid`,
    `PrincipalInactive`, and `PasskeyCloned`, which leaves the receipt `second_factor.cloned`.
    """
    is_sign_in = purpose is Purpose.SIGN_IN
    if is_sign_in is not (person_id is None):
        raise ValueError("A sign-in is of any person, everything else of one.")
    ceremony = Ceremony.opened(answer.ceremony, purpose, party, browser=browser, person=person_id)
    rows = Passkey.objects.filter(credential_id=credential_id_of(answer.credential), rp_id=party.id)
    try:
        with transaction.atomic():
            row = rows.select_related("factor__user").select_for_update(of=("self",)).first()
            if row is None or person_id not in (None, row.factor.user_id):
                raise errors.PasskeyUnknown
            used = verify_assertion(
                ceremony,
                answer.credential,
                as_stored(row),
                must_verify=_must_verify(purpose),
                must_name_user=is_sign_in,
            )
            _store_use(row, used, ceremony)
    except errors.PasskeyCloned:
        if row is not None:
            record_cloned_passkey(row.factor, correlation_id=correlation_id)
        raise
    return row.factor.user


def _store_use(row: Passkey, used: Assertion, ceremony: Ceremony) -> None:
    """Store a verified use. Raise `PrincipalInactive`, and `PasskeyChallengeInvalid` for a second use of an answer."""
    person = row.factor.user
    if not person.is_active or person.kind != PrincipalKind.HUMAN:
        raise errors.PrincipalInactive
    if not use_once(ceremony.use):
        raise errors.PasskeyChallengeInvalid("This answer of a passkey was used already. Start again.")
    row.sign_count = used.sign_count
    row.save(update_fields=["sign_count"])
    row.factor.last_used_at = clock.now()
    row.factor.save(update_fields=["last_used_at"])


def _must_verify(purpose: Purpose) -> bool:
    """Return True unless a password was given before, so that the passkey is one of two factors."""
    return purpose is not Purpose.SECOND_STEP
