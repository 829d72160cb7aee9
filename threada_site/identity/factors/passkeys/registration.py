"""Registration of a passkey by its person, its name, and its removal."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import IntegrityError, transaction
from fido2.utils import websafe_decode, websafe_encode

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.factors.changes import record_change, record_change_elsewhere
from threada_site.identity.factors.enrolled import require_other_factor
from threada_site.identity.factors.passkeys.ceremonies import Ceremony, Purpose
from threada_site.identity.factors.passkeys.relying_party import RelyingParty
from threada_site.identity.factors.passkeys.stored import as_stored, passkeys_of, user_handle_of
from threada_site.identity.factors.passkeys.use import Answer, Options
from threada_site.identity.factors.passkeys.verification import NewPasskey, registration_options, verify_registration
from threada_site.identity.sign_in.attempts import use_once
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, AuthenticationMethod
from threada_site.kernel.errors import FieldError
from threada_site.kernel.factors import Factor
from threada_site.kernel.source import Source
from threada_site.tenancy.factor_models import LABEL_LENGTH, EnrolledFactor, Passkey
from threada_site.tenancy.models import Membership, User

MOST_PASSKEYS: Final = 20


def start_registration(party: RelyingParty, *, browser: str, ctx: ActingContext) -> Options:
    """Return options for a new passkey of the acting person. Needs no unit of work.

    Raise `PermissionDenied`, `StepUpRequired` and `Conflict` as `register_passkey` does.
    """
    person = User.objects.get(pk=ctx.principal_id)
    known = passkeys_of(person.id)
    check_may_change(ctx=ctx)
    _check_number(len(known))
    ceremony = Ceremony.start(
        Purpose.REGISTRATION,
        party,
        browser=browser,
        person=person.id,
        user_handle=websafe_encode(user_handle_of(person.id)),
    )
    options = registration_options(
        ceremony, name=person.username, display_name=person.display_name, known=[as_stored(row) for row in known]
    )
    return Options(options, ceremony.sealed())


def register_passkey(
    answer: Answer, label: str, party: RelyingParty, *, browser: str, source: Source, ctx: ActingContext
) -> EnrolledFactor:
    """Store a new passkey of the acting person, by the answer to the options of `start_registration`.

    Receipt `second_factor.enrolled` in each tenant of the person. Opens its own units of work. Raise what
    `verify_registration` and `Ceremony.opened` raise, `PermissionDenied` for a token or a session that an identity
    provider opened, `StepUpRequired` without a recent proof, `PasskeyRegistered` for an id that the instance has, and
    `Conflict` beyond `MOST_PASSKEYS`.
    """
    check_may_change(ctx=ctx)
    ceremony = Ceremony.opened(answer.ceremony, Purpose.REGISTRATION, party, browser=browser, person=ctx.principal_id)
    new = verify_registration(ceremony, answer.credential)
    with unit_of_work(ctx.tenant_id, actor=ctx):
        Membership.objects.select_for_update().get(tenant_id=ctx.tenant_id, user_id=ctx.principal_id)
        _check_number(len(passkeys_of(ctx.principal_id)))
        if not use_once(ceremony.use):
            raise errors.PasskeyChallengeInvalid
        factor = _store(new, ceremony, label)
        record_change("enrolled", factor, source, ctx=ctx)
    record_change_elsewhere("enrolled", factor, source, ctx=ctx)
    return factor


def rename_passkey(factor_id: uuid.UUID, label: str, source: Source, *, ctx: ActingContext) -> None:
    """Change the name of a passkey of the acting person. Receipt `second_factor.renamed`. Opens its own units of work.

    Raise `NotFound`, and what `check_may_change` raises.
    """
    check_may_change(ctx=ctx)
    with unit_of_work(ctx.tenant_id, actor=ctx):
        factor = _own(factor_id, ctx=ctx)
        factor.label = _label(label)
        factor.save(update_fields=["label"])
        record_change("renamed", factor, source, ctx=ctx)
    record_change_elsewhere("renamed", factor, source, ctx=ctx)


def remove_passkey(factor_id: uuid.UUID, source: Source, *, ctx: ActingContext) -> None:
    """Remove a passkey of the acting person. Receipt `second_factor.removed`. Opens its own units of work.

    Raise `NotFound`, `LastFactorRequired`, and what `check_may_change` raises.
    """
    check_may_change(ctx=ctx)
    with unit_of_work(ctx.tenant_id, actor=ctx):
        factor = _own(factor_id, ctx=ctx)
        require_other_factor(factor)
        record_change("removed", factor, source, ctx=ctx)
        Passkey.objects.filter(factor=factor).delete()
        EnrolledFactor.objects.filter(id=factor_id).delete()
    record_change_elsewhere("removed", factor, source, ctx=ctx)


def _store(new: NewPasskey, ceremony: Ceremony, label: str) -> EnrolledFactor:
    """Store a verified passkey. Raise `PasskeyRegistered`."""
    try:
        with transaction.atomic():
            factor = EnrolledFactor.objects.create(
                user_id=uuid.UUID(ceremony.person), kind=Factor.PASSKEY.value, label=_label(label)
            )
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
    return factor


def _own(factor_id: uuid.UUID, *, ctx: ActingContext) -> EnrolledFactor:
    """Return a passkey of the acting person, locked. Raise `NotFound`."""
    rows = EnrolledFactor.objects.select_for_update(of=("self",)).select_related("user")
    found = rows.filter(id=factor_id, user_id=ctx.principal_id, kind=Factor.PASSKEY.value).first()
    if found is None:
        raise errors.NotFound("You have no such passkey.")
    return found


def _label(text: str) -> str:
    """Return a name without surrounding space and characters that are not shown. Raise `InvalidRequest`."""
    label = text.strip()
    if not label or len(label) > LABEL_LENGTH or not label.isprintable():
        raise errors.InvalidRequest(
            f"Name the passkey with at most {LABEL_LENGTH} characters.", errors=[FieldError("/name", "is not a name")]
        )
    return label


def check_may_change(*, ctx: ActingContext) -> None:
    """Raise an error unless a person acts in the own session, with a proof that is at most five minutes old.

    An identity provider speaks for its tenant only, and a passkey signs in to all tenants of its person. So a session
    that a provider opened registers none. Raise `PermissionDenied` and `StepUpRequired`.
    """
    if not ctx.is_person or ctx.authentication.method is not AuthenticationMethod.SESSION:
        raise errors.PermissionDenied("Passkeys are changed by their person, in a session that no provider opened.")
    if not ctx.recently_reauthenticated(clock.now()):
        raise errors.StepUpRequired("Confirm first that it is you.")


def _check_number(number: int) -> None:
    if number >= MOST_PASSKEYS:
        raise errors.Conflict(f"You have {number} passkeys, the most that a person can have. Remove one first.")
