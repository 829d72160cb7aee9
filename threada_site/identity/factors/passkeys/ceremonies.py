"""Ceremonies: one use of a passkey, from its challenge to its answer, in one browser.

The state of a ceremony is signed and kept by the page, so that a stranger who asks for challenges stores nothing.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final, Self

from django.core import signing
from django.utils.crypto import constant_time_compare, salted_hmac

from threada_site.identity.factors.passkeys.relying_party import RelyingParty
from threada_site.kernel import errors

LIFETIME: Final = timedelta(minutes=5)
_SALT: Final = "threada.passkey"


class Purpose(StrEnum):
    """Purpose of a ceremony. An answer to one is refused for any other."""

    REGISTRATION = "registration"
    SIGN_IN = "sign_in"
    SECOND_STEP = "second_step"
    STEP_UP = "step_up"


@dataclass(frozen=True, slots=True)
class Ceremony:
    """A ceremony. `person`: id of the account whose passkeys may answer; "" for any. `browser`: digest of its secret.

    `user_handle` is that of a registration.
    """

    purpose: str
    challenge: str
    rp_id: str
    origin: str
    browser: str
    person: str = ""
    user_handle: str = ""

    @classmethod
    def start(
        cls,
        purpose: Purpose,
        party: RelyingParty,
        *,
        browser: str,
        person: uuid.UUID | None = None,
        user_handle: str = "",
    ) -> Self:
        """Return a new ceremony with a challenge of 256 bits.

        `browser` is a secret that only this browser has: the key of its session, or its CSRF secret before there is
        one. Raise `PasskeyChallengeInvalid` without it.
        """
        if not browser:
            raise errors.PasskeyChallengeInvalid
        return cls(
            purpose.value,
            secrets.token_urlsafe(32),
            party.id,
            party.origin,
            _digest(browser),
            "" if person is None else str(person),
            user_handle,
        )

    @classmethod
    def opened(
        cls, text: str, purpose: Purpose, party: RelyingParty, *, browser: str, person: uuid.UUID | None = None
    ) -> Self:
        """Return the ceremony in `text`, as `sealed` returned it.

        Raise `PasskeyChallengeExpired`, and `PasskeyChallengeInvalid` if it is forged or was started for another
        purpose, person, browser or address.
        """
        try:
            found = cls(**signing.loads(text, salt=_SALT, max_age=LIFETIME))
        except signing.SignatureExpired:
            raise errors.PasskeyChallengeExpired from None
        except (signing.BadSignature, TypeError):
            raise errors.PasskeyChallengeInvalid from None
        expected = (purpose.value, party.id, party.origin, "" if person is None else str(person))
        if (found.purpose, found.rp_id, found.origin, found.person) != expected:
            raise errors.PasskeyChallengeInvalid
        if not browser or not constant_time_compare(found.browser, _digest(browser)):
            raise errors.PasskeyChallengeInvalid
        return found

    def sealed(self) -> str:
        """Return the ceremony as signed text, valid for five minutes."""
        return signing.dumps(asdict(self), salt=_SALT)

    @property
    def use(self) -> str:
        """Return the secret that `use_once` takes, so that the challenge serves once."""
        return f"{_SALT} {self.challenge}"


def _digest(browser: str) -> str:
    return salted_hmac(f"{_SALT}.browser", browser, algorithm="sha256").hexdigest()
