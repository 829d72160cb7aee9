"""Asking for the password again: proof that the person is there, kept in the session for five minutes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import User

PASSWORD_FIELD: Final = "password"  # noqa: S105 (the name of a form's field)
MOST_WRONG: Final = 5
"""After so many wrong passwords in one session it ends: a session that was left open is no place to guess in."""
_CONFIRMED, _WRONG = "confirmed_at", "wrong_passwords"


def confirmed_at(request: HttpRequest) -> datetime | None:
    """When the password was last entered in this session."""
    stored: Any = request.session.get(_CONFIRMED)
    return datetime.fromtimestamp(stored, UTC) if isinstance(stored, int | float) else None


def confirm(request: HttpRequest, ctx: ActingContext) -> ActingContext:
    """The context with the password that the form holds, if it holds one. Raises `StepUpFailed` when it is wrong.

    Hashing takes a moment: call it before any lock.
    """
    given = request.POST.get(PASSWORD_FIELD, "")
    if not given:
        return ctx
    person = User.objects.filter(pk=ctx.principal_id, is_active=True).first()
    if person is None or not person.check_password(given):
        _count_wrong(request)
        raise errors.StepUpFailed
    now = clock.now()
    request.session[_CONFIRMED] = now.timestamp()
    request.session.pop(_WRONG, None)
    return replace(ctx, confirmed_at=now)


def _count_wrong(request: HttpRequest) -> None:
    wrong = request.session.get(_WRONG, 0) + 1
    if wrong < MOST_WRONG:
        request.session[_WRONG] = wrong
        return
    # Not `logout`: it would delete the row in a transaction that the refusal rolls back. Emptied, the session is saved
    # after that, and nobody is signed in by it any more.
    request.session.clear()
    request.user = AnonymousUser()
