"""A sign-in that was started in a browser: a signed cookie of ten minutes, one for each sign-in."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final, Self

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare

from threada_site.kernel import clock, errors

LASTS_S: Final = 600
MOST_AT_ONCE: Final = 5
"""Sign-ins of one browser that may be open. Others could fill its cookies until no request fits any more."""
_SALT: Final = "threada.sign_in"
_OPEN: Final = re.compile(r"_[0-9a-f]{16}")


class Purpose(StrEnum):
    """What the answer of a provider does: open a session, or link an account or step up in the session that asked."""

    SIGN_IN = "sign_in"
    LINK = "link"
    STEP_UP = "step_up"


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """A sign-in between the redirect to the provider and the answer.

    `version` is the version of the provider, `session` the console session that asked (empty without one), `started`
    the time of the redirect in seconds since 1970.
    """

    state: str
    nonce: str
    verifier: str
    version: str
    redirect_uri: str
    onward: str
    purpose: str
    session: str
    started: int

    @classmethod
    def start(
        cls, *, version: str, redirect_uri: str, onward: str, purpose: Purpose = Purpose.SIGN_IN, session: str = ""
    ) -> Self:
        """Return a new sign-in with state, nonce and PKCE verifier of 256 bits each."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        started = int(clock.now().timestamp())
        return cls(state, nonce, verifier, version, redirect_uri, onward, purpose.value, session, started)

    @classmethod
    def of_request(cls, request: HttpRequest) -> Self:
        """Return the sign-in of this browser with the state of the request. Raise `SignInStateInvalid`.

        A SAML provider sends the state back as `RelayState`, in a form.
        """
        state = request.POST.get("RelayState", "") if request.method == "POST" else request.GET.get("state", "")
        cookie = request.COOKIES.get(_cookie_name(state), "")
        try:
            found = cls(**signing.loads(cookie, salt=_SALT, max_age=LASTS_S))
        except (signing.BadSignature, TypeError):
            raise errors.SignInStateInvalid from None
        if not state or not constant_time_compare(found.state, state):
            raise errors.SignInStateInvalid
        return found

    @property
    def challenge(self) -> str:
        """Return the S256 challenge of the verifier."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def store(self, request: HttpRequest, response: HttpResponse, *, answer_is_posted: bool = False) -> None:
        """Set the cookie. `Lax`, because the answer is a navigation from the provider's site.

        If that site posts a form instead, browsers send only cookies with `None`, which they accept over https alone.
        A browser with too many open sign-ins loses the earlier ones.
        """
        known = [
            name for name in request.COOKIES if _OPEN.fullmatch(name.removeprefix(settings.THREADA_SIGN_IN_COOKIE))
        ]
        if len(known) >= MOST_AT_ONCE:
            for name in known:
                response.delete_cookie(name, path="/", samesite="Lax")
        response.set_cookie(
            _cookie_name(self.state),
            signing.dumps(asdict(self), salt=_SALT),
            max_age=LASTS_S,
            path="/",
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="None" if answer_is_posted and settings.SESSION_COOKIE_SECURE else "Lax",
        )

    def forget(self, response: HttpResponse) -> None:
        """Delete the cookie: a state serves once."""
        response.delete_cookie(_cookie_name(self.state), path="/", samesite="Lax")


def _cookie_name(state: str) -> str:
    return f"{settings.THREADA_SIGN_IN_COOKIE}_{hashlib.sha256(state.encode()).hexdigest()[:16]}"
