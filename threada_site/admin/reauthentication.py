"""Console re-authentication: proof for a step-up, remembered in the session for five minutes.

A person without an enrolled second factor enters the password, or signs in again at the identity provider that opened
the session. A person with one proves the factor: then a password is
no step-up. Codes are used before the view runs (`console/factors/step_up.py`), outside of its unit of work, so that a
code stays used if the unit of work is rolled back.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, AuthenticationMethod, Scope
from threada_site.kernel.factors import STEP_UP_FACTORS, Factor, add_factors, session_factors
from threada_site.tenancy.models import EnrolledFactor, User

PASSWORD_FIELD: Final = "password"  # noqa: S105 (the name of a form's field)
CODE_FIELD: Final = "step_up_code"
PROOF_FIELDS: Final = frozenset({PASSWORD_FIELD, CODE_FIELD})
MOST_WRONG: Final = 5
"""Number of wrong proofs that ends the session, so that an open session cannot be used to guess them."""
STEWARD_SCOPES: Final = frozenset(
    {Scope.WORKFLOW_MANAGE, Scope.POLICIES_PUBLISH, Scope.INTEGRATIONS_MANAGE, Scope.ACTIONS_FREEZE}
)
"""Scopes whose actions change identity, rules, secrets or freezes. They need a step-up (`acts_with_step_up`)."""
ALWAYS: Final = "always"
"""`step_up` of an action or a form that needs one also where the tenant requires no second factors."""
type StepUp = bool | str
_REAUTHENTICATED, _METHOD, _WRONG = "reauthenticated_at", "reauthenticated_by", "wrong_passwords"


def reauthenticated_at(request: HttpRequest) -> datetime | None:
    """Return the time of the last re-authentication in this session, or None."""
    stored: Any = request.session.get(_REAUTHENTICATED)
    return datetime.fromtimestamp(stored, UTC) if isinstance(stored, int | float) else None


def proof_asked(ctx: ActingContext, *, is_required: bool = True, must_be_passkey: bool = False) -> str:
    """Return the proof that a form asks for, or "" for none.

    Proofs are `code`, `passkey`, `code_or_passkey`, `password`, and `provider` (a fresh login there).
    `must_be_passkey`: a passkey must have been used in this session.
    """
    if must_be_passkey and Factor.PASSKEY not in ctx.authentication.factors:
        return "passkey"
    if not is_required or ctx.recently_reauthenticated(clock.now()):
        return ""
    kinds = set(EnrolledFactor.objects.filter(user_id=ctx.principal_id).values_list("kind", flat=True))
    if not kinds:
        is_of_provider = ctx.authentication.method is AuthenticationMethod.IDENTITY_PROVIDER
        return "provider" if is_of_provider else "password"
    if Factor.TOTP not in kinds:
        return "passkey"
    return "code_or_passkey" if Factor.PASSKEY in kinds else "code"


def needs_step_up(scope: Scope | None, *, step_up: StepUp, ctx: ActingContext) -> bool:
    """Return True if an action needs a step-up in this session: one of `STEWARD_SCOPES`, or one that says so."""
    return step_up == ALWAYS or (ctx.acts_with_step_up and (bool(step_up) or scope in STEWARD_SCOPES))


def require_step_up(ctx: ActingContext) -> None:
    """Raise `StepUpRequired` without a recent re-authentication."""
    if not ctx.recently_reauthenticated(clock.now()):
        raise errors.StepUpRequired("This action needs a step-up, at most five minutes old.")


def reauthenticate(request: HttpRequest, ctx: ActingContext) -> ActingContext:
    """Return `ctx`, with `reauthenticated_at` set if the form contains the right password.

    Raise `StepUpFailed` if the password or the code of the form is wrong, and for a password where a second factor is
    enrolled. Call it before taking locks: password hashing is slow.
    """
    if getattr(request, "is_code_wrong", False):
        count_wrong_password(request)
        raise errors.StepUpFailed
    given = request.POST.get(PASSWORD_FIELD, "")
    if not given or ctx.recently_reauthenticated(clock.now()):
        return ctx
    user = User.objects.filter(pk=ctx.principal_id, is_active=True).first()
    if user is None or not user.check_password(given):
        count_wrong_password(request)
        raise errors.StepUpFailed
    if user.enrolled_factors.exists():
        raise errors.StepUpFailed("You have a second factor, so a password is no step-up. Prove the second factor.")
    return stepped_up(request, Factor.PASSWORD, ctx)


def stepped_up(request: HttpRequest, factor: Factor, ctx: ActingContext) -> ActingContext:
    """Record a step-up now. Return `ctx` with it."""
    now = clock.now()
    record_step_up(request, factor, now)
    authentication = replace(ctx.authentication, factors=session_factors(request.session))
    return replace(ctx, reauthenticated_at=now, authentication=authentication)


def record_step_up(request: HttpRequest, factor: Factor, at: datetime) -> None:
    """Store in the session that its person proved `factor` at the time `at`, which is a step-up for five minutes.

    The caller has verified the factor. Raise `ValueError` for a recovery code, which is no step-up.
    """
    if factor not in STEP_UP_FACTORS:
        raise ValueError(f"{factor} is no step-up")
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    add_factors(request.session, (*ctx.authentication.factors, factor))
    request.session[_REAUTHENTICATED] = at.timestamp()
    request.session[_METHOD] = factor.value
    request.session.pop(_WRONG, None)


def count_wrong_password(request: HttpRequest) -> None:
    """Count a wrong proof. End the session with the last one that is allowed."""
    wrong = request.session.get(_WRONG, 0) + 1
    if wrong < MOST_WRONG:
        request.session[_WRONG] = wrong
        return
    # `logout` would delete the session row in a transaction that the refusal rolls back. The emptied session is saved
    # after the rollback and has no user.
    request.session.clear()
    request.user = AnonymousUser()
