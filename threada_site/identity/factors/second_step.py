"""Second step of a sign-in: a signed cookie of ten minutes between the right password and the second factor.

There is no session in between. The cookie is bound to the browser, the account and its password, and serves once.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Final, Self

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.models import AnonymousUser
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.crypto import constant_time_compare, salted_hmac

from threada_site.identity.console_sessions.provider_sessions import ProviderSession
from threada_site.identity.factors.enrolled import has_factors
from threada_site.identity.sign_in.attempts import use_once
from threada_site.kernel import errors
from threada_site.kernel.context import PrincipalKind
from threada_site.kernel.factors import Factor, add_factors
from threada_site.tenancy.models import User

LASTS_S: Final = 600
_SALT: Final = "threada.second_step"
_BACKEND: Final = "django.contrib.auth.backends.ModelBackend"


@dataclass(frozen=True, slots=True)
class PendingSecondStep:
    """Sign-in of a person whose password was right. `onward`: address of the console to go on to, already checked."""

    person: str
    proof: str
    nonce: str
    onward: str

    @classmethod
    def start(cls, person: User, *, onward: str) -> Self:
        return cls(str(person.pk), _proof(person), secrets.token_urlsafe(24), onward)

    @classmethod
    def of_request(cls, request: HttpRequest) -> Self:
        """Return the pending sign-in of this browser. Raise `SecondStepExpired`."""
        try:
            return cls(**signing.loads(request.COOKIES.get(_cookie_name(), ""), salt=_SALT, max_age=LASTS_S))
        except (signing.BadSignature, TypeError):
            raise errors.SecondStepExpired from None

    def account(self) -> User:
        """Return the person. Raise `SecondStepExpired` if the account was closed or its password has changed."""
        person = User.objects.filter(pk=uuid.UUID(self.person), is_active=True, kind=PrincipalKind.HUMAN.value).first()
        if person is None or not constant_time_compare(self.proof, _proof(person)):
            raise errors.SecondStepExpired
        return person

    def store(self, response: HttpResponse) -> None:
        """Set the cookie."""
        response.set_cookie(
            _cookie_name(),
            signing.dumps(asdict(self), salt=_SALT),
            max_age=LASTS_S,
            path="/",
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )


def complete_second_step(request: HttpRequest, person: User, factor: Factor) -> HttpResponse:
    """Open the session of a person who gave the password and then `factor`. Return the redirect onward.

    The caller has verified the factor, and calls `remember_browser` with the response. Raise `SecondStepExpired` if no
    sign-in of this person is pending in this browser, or if it was completed already.
    """
    pending = PendingSecondStep.of_request(request)
    if pending.account().pk != person.pk or not use_once(f"second step {pending.nonce}"):
        raise errors.SecondStepExpired
    open_session(request, person, (Factor.PASSWORD, factor))
    response = HttpResponseRedirect(pending.onward)
    forget_second_step(response)
    return response


def forget_second_step(response: HttpResponse) -> None:
    """Delete the cookie."""
    response.delete_cookie(_cookie_name(), path="/", samesite="Lax")


def open_session(
    request: HttpRequest,
    person: User,
    factors: Iterable[str],
    *,
    opened: ProviderSession | None = None,
    is_current: Callable[[], bool] | None = None,
) -> None:
    """Sign a person in, in a new session with a new key, which has proved `factors`.

    The session is stored, and what signs the person in is looked at again: what ends it waits for this look, or this
    look for it, and ends stored sessions afterwards. `is_current` returns False if a way other than a factor of the
    account ended. Raise `SignInStateInvalid` without a session. A password that changed ends the session by itself.
    """
    given = tuple(map(str, factors))
    request.session.flush()
    request.sign_in_factors = given  # type: ignore[attr-defined]
    login(request, person, backend=_BACKEND)
    add_factors(request.session, given)
    if opened is not None:
        opened.store(request.session)
    request.session.save()
    if is_current() if is_current is not None else has_factors(person.id, given):
        return
    request.session.flush()
    request.user = AnonymousUser()
    raise errors.SignInStateInvalid


def _proof(person: User) -> str:
    """Return a keyed digest of the password's hash, so that a new password ends pending sign-ins."""
    return salted_hmac(_SALT, person.password, algorithm="sha256").hexdigest()


def _cookie_name() -> str:
    return f"{settings.THREADA_SIGN_IN_COOKIE}_second_step"
