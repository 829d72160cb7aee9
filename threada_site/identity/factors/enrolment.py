"""Enrolment and removal of second factors, by their person only, in the own session after a fresh proof."""

from __future__ import annotations

from typing import Final

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.account.provider_limits import require_account_change
from threada_site.identity.factors.enrolled import enrolled_kinds, require_other_factor
from threada_site.identity.factors.events import FactorEvent, record_event
from threada_site.identity.factors.recovery_codes import make_recovery_codes, recovery_codes_left
from threada_site.identity.factors.totp import EncryptedTotp, accepted_step
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import REAUTHENTICATION_LIFETIME, ActingContext
from threada_site.kernel.errors import FieldError
from threada_site.kernel.factors import Factor, has_second_factor
from threada_site.tenancy.factor_models import LABEL_LENGTH, EnrolledFactor
from threada_site.tenancy.models import User

MOST_FACTORS: Final = 10
"""Factors of one person."""


def has_fresh_proof(ctx: ActingContext) -> bool:
    """Return True if the person proved who they are within five minutes: by a step-up, or by the sign-in itself.

    For a person with an enrolled factor, a sign-in counts only if it included a second factor.
    """
    now = clock.now()
    if ctx.recently_reauthenticated(now):
        return True
    signed_in_at = ctx.authentication.at
    if signed_in_at is None or now - signed_in_at > REAUTHENTICATION_LIFETIME:
        return False
    return has_second_factor(ctx.authentication.factors) or not enrolled_kinds(ctx.principal_id)


def require_fresh_proof(ctx: ActingContext) -> None:
    """Raise `PermissionDenied` without a session of the person's own, `StepUpRequired` without a fresh proof.

    Raise `PermissionDenied` by `require_account_change` too.
    """
    if not ctx.is_person or not ctx.authentication.is_session:
        raise errors.PermissionDenied("Second factors are changed by their owners, in their own session.")
    require_account_change(ctx)
    if not has_fresh_proof(ctx):
        raise errors.StepUpRequired("Prove again who you are to change your second factors.")


def enrol_totp(app: EncryptedTotp, code: str, label: str, *, ctx: ActingContext) -> FactorEvent:
    """Enrol the authenticator app that holds a secret, which `code` proves. Receipt `second_factor.enrolled`.

    The caller records the event in other tenants (`record_elsewhere`) and ends the other sessions of the person
    (`end_own_sessions`). Raise `PermissionDenied`, `StepUpRequired`, `SecondFactorFailed` for a wrong code, `Conflict`
    beyond ten factors.
    """
    require_fresh_proof(ctx)
    if app.person_id != ctx.principal_id:
        raise errors.PermissionDenied("This enrolment was started by somebody else.")
    step = accepted_step(app.secret(), "".join(code.split()), clock.now())
    if step is None:
        raise errors.SecondFactorFailed
    factor = EnrolledFactor(
        id=app.factor_id,
        user_id=ctx.principal_id,
        kind=Factor.TOTP.value,
        secret=app.token,
        key_id=app.key_id,
        last_step=step,
    )
    return add_factor(factor, label or "Authenticator app", ctx=ctx)


def add_factor(factor: EnrolledFactor, label: str, *, ctx: ActingContext) -> FactorEvent:
    """Save a verified factor of the acting person. Receipt `second_factor.enrolled`; the person is notified.

    The caller does the rest as for `enrol_totp`, and raises the same.
    """
    require_unit_of_work(ctx.tenant_id)
    require_fresh_proof(ctx)
    _check_label(label)
    person = User.objects.select_for_update(of=("self",), no_key=True).get(id=ctx.principal_id)
    if person.enrolled_factors.count() >= MOST_FACTORS:
        raise errors.Conflict(f"You have {MOST_FACTORS} factors. Remove one first.")
    factor.label, factor.last_used_at = label.strip(), clock.now()
    factor.save(force_insert=True)
    return _record("enrolled", factor, person, ctx=ctx)


def rename_factor(public_id: str, label: str, *, ctx: ActingContext) -> None:
    """Change the name of a factor of the acting person. Raise `NotFound`, and what `add_factor` raises."""
    require_unit_of_work(ctx.tenant_id)
    require_fresh_proof(ctx)
    _check_label(label)
    factor_id = ids.parse_public_id(ids.FACTOR, public_id)
    rows = EnrolledFactor.objects.filter(user_id=ctx.principal_id, id=factor_id or ids.LAST)
    if not rows.update(label=label.strip()):
        raise errors.NotFound("You have no such factor.")


def _check_label(label: str) -> None:
    if not label.strip() or len(label) > LABEL_LENGTH or not label.isprintable():
        raise errors.InvalidRequest(
            f"Name the factor, in at most {LABEL_LENGTH} characters.", errors=[FieldError("/label", "is not usable")]
        )


def remove_factor(public_id: str, *, ctx: ActingContext) -> FactorEvent:
    """Remove a factor of the acting person. Receipt `second_factor.removed`; the person is notified.

    The recovery codes end with the last factor. Raise `PermissionDenied`, `StepUpRequired`, `NotFound`, and
    `LastFactorRequired` for the last factor where a tenant of the person requires one.
    """
    require_unit_of_work(ctx.tenant_id)
    require_fresh_proof(ctx)
    person = User.objects.select_for_update(of=("self",), no_key=True).get(id=ctx.principal_id)
    factor_id = ids.parse_public_id(ids.FACTOR, public_id)
    factor = person.enrolled_factors.filter(id=factor_id).first() if factor_id else None
    if factor is None:
        raise errors.NotFound("You have no such factor.")
    require_other_factor(factor)
    event = _record("removed", factor, person, ctx=ctx)
    factor.delete()
    return event


def new_recovery_codes(*, ctx: ActingContext) -> tuple[list[str], FactorEvent]:
    """Create recovery codes of the acting person; earlier ones end. Receipt `recovery_codes.created`.

    Return the codes, which cannot be read again. Raise `PermissionDenied`, `StepUpRequired`, and `Conflict` without an
    enrolled factor.
    """
    require_unit_of_work(ctx.tenant_id)
    require_fresh_proof(ctx)
    person = User.objects.select_for_update(of=("self",), no_key=True).get(id=ctx.principal_id)
    if not enrolled_kinds(person.id):
        raise errors.Conflict("Enrol a second factor first.")
    replaced = recovery_codes_left(person.id)
    codes = make_recovery_codes(person.id)
    event = FactorEvent("recovery_codes.created", "recovery_codes_created", person, inputs={"replaced": replaced})
    record_event(event, ctx=ctx)
    return codes, event


def _record(verb: str, factor: EnrolledFactor, person: User, *, ctx: ActingContext) -> FactorEvent:
    event = FactorEvent(
        f"second_factor.{verb}",
        "factor_enrolled" if verb == "enrolled" else "factor_removed",
        person,
        what=factor.label,
        inputs={"factor": factor.public_id, "method": factor.kind},
    )
    record_event(event, ctx=ctx)
    return event
