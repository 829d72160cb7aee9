"""Console re-authentication: password entry for step-up, remembered in the session for five minutes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.factors import STEP_UP_FACTORS, Factor, add_factors
from threada_site.tenancy.models import User

PASSWORD_FIELD: Final = "password"  # noqa: S105 (the name of a form's field)
MOST_WRONG: Final = 5
"""Number of wrong passwords that ends the session, so that an open session cannot be used to guess passwords."""
_REAUTHENTICATED, _METHOD, _WRONG = "reauthenticated_at", "reauthenticated_by", "wrong_passwords"


def reauthenticated_at(request: HttpRequest) -> datetime | None:
    """Return the time of the last successful password entry in this session, or None."""
    stored: Any = request.session.get(_REAUTHENTICATED)
    return datetime.fromtimestamp(stored, UTC) if isinstance(stored, int | float) else None


def reauthenticate(request: HttpRequest, ctx: ActingContext) -> ActingContext:
    """Return `ctx`, with `reauthenticated_at` set if the form contains the right password.

    Raise `StepUpFailed` if the password is wrong. Call it before taking locks: password hashing is slow.
    """
    given = request.POST.get(PASSWORD_FIELD, "")
    if not given:
        return ctx
    user = User.objects.filter(pk=ctx.principal_id, is_active=True).first()
    if user is None or not user.check_password(given):
        count_wrong_password(request)
        raise errors.StepUpFailed
    now = clock.now()
    record_step_up(request, Factor.PASSWORD, now)
    return replace(ctx, reauthenticated_at=now)


def record_step_up(request: HttpRequest, factor: Factor, at: datetime) -> None:
    """Store in the session that its person proved `factor` at the time `at`, which is a step-up for five minutes.

    The caller has verified the factor. Raise `ValueError` for a recovery code, which is no step-up.
    """
    if factor not in STEP_UP_FACTORS:
        raise ValueError(f"{factor} is no step-up")
    add_factors(request.session, (*request.acting_context.authentication.factors, factor))  # type: ignore[attr-defined]
    request.session[_REAUTHENTICATED] = at.timestamp()
    request.session[_METHOD] = factor.value
    request.session.pop(_WRONG, None)


def count_wrong_password(request: HttpRequest) -> None:
    """Count a wrong password. End the session with the last one that is allowed."""
    wrong = request.session.get(_WRONG, 0) + 1
    if wrong < MOST_WRONG:
        request.session[_WRONG] = wrong
        return
    # `logout` would delete the session row in a transaction that the refusal rolls back. The emptied session is saved
    # after the rollback and has no user.
    request.session.clear()
    request.user = AnonymousUser()
