"""Registration of a passkey by its person."""

from __future__ import annotations

from typing import Final

from django.db import IntegrityError, transaction
from fido2.utils import websafe_decode, websafe_encode

from threada_site.identity.factors.enrolment import add_factor, require_fresh_proof
from threada_site.identity.factors.events import FactorEvent
from threada_site.identity.factors.passkeys.ceremonies import Ceremony, Purpose
from threada_site.identity.factors.passkeys.relying_party import RelyingParty
from threada_site.identity.factors.passkeys.stored import as_stored, passkeys_of, user_handle_of
from threada_site.identity.factors.passkeys.use import Answer, Options
from threada_site.identity.factors.passkeys.verification import registration_options, verify_registration
from threada_site.identity.sign_in.attempts import use_once
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, AuthenticationMethod
from threada_site.kernel.factors import Factor
from threada_site.tenancy.factor_models import EnrolledFactor, Passkey
from threada_site.tenancy.models import User

DEFAULT_LABEL: Final = "Passkey"


def start_registration(party: RelyingParty, *, browser: str, ctx: ActingContext) -> Options:
    """Return options for a new passkey of the acting person. Needs no unit of work.

    Raise `PermissionDenied` and `StepUpRequired` as `register_passkey` does.
    """
    _require_own_session(ctx)
    person = User.objects.get(pk=ctx.principal_id)
    ceremony = Ceremony.start(
        Purpose.REGISTRATION,
        party,
        browser=browser,
        person=person.id,
        user_handle=websafe_encode(user_handle_of(person.id)),
    )
    options = registration_options(
        ceremony,
        name=person.username,
        display_name=person.display_name,
        known=[as_stored(row) for row in passkeys_of(person.id)],
    )
    return Options(options, ceremony.sealed())


def register_passkey(
    answer: Answer, label: str, party: RelyingParty, *, browser: str, ctx: ActingContext
) -> FactorEvent:
    """Store a new passkey of the acting person, by the answer to the options of `start_registration`.

    Receipt `second_factor.enrolled`; the caller does the rest as for `enrol_totp`. Raise what `verify_registration`,
    `Ceremony.opened` and `add_factor` raise, `PermissionDenied` for a token or a session that an identity provider
    opened, `StepUpRequired` without a fresh proof, and `PasskeyRegistered` for an id that the instance has.
    """
    _require_own_session(ctx)
    ceremony = Ceremony.opened(answer.ceremony, Purpose.REGISTRATION, party, browser=browser, person=ctx.principal_id)
    new = verify_registration(ceremony, answer.credential)
    if not use_once(ceremony.use):
        raise errors.PasskeyChallengeInvalid
    factor = EnrolledFactor(user_id=ctx.principal_id, kind=Factor.PASSKEY.value)
    event = add_factor(factor, label.strip() or DEFAULT_LABEL, ctx=ctx)
    try:
        with transaction.atomic():
            Passkey.objects.create(
                factor=factor,
                credential_id=new.credential_id,
                data=new.data,
                user_handle=websafe_decode(ceremony.user_handle),
                rp_id=ceremony.rp_id,
                sign_count=new.sign_count,
                transports=list(new.transports),
                is_synced=new.is_synced,
            )
    except IntegrityError:
        raise errors.PasskeyRegistered from None
    return event


def _require_own_session(ctx: ActingContext) -> None:
    """Raise an error without a fresh proof, or in a session that an identity provider opened.

    A provider speaks for its tenant only, and a passkey signs in to all tenants of its person.
    """
    require_fresh_proof(ctx)
    if ctx.authentication.method is not AuthenticationMethod.SESSION:
        raise errors.PermissionDenied(
            "An identity provider opened this session. Sign in with a password to register a passkey."
        )
