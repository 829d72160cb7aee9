"""Known browsers: a signed cookie that names the accounts which signed in from a browser. It grants no access."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

from django.conf import settings
from django.core import signing
from django.utils.crypto import constant_time_compare, salted_hmac

MOST_ACCOUNTS: Final = 10
KNOWN_FOR: Final = timedelta(days=180)
"""Time since the last sign-in after which a browser is not known any more."""
_SALT: Final = "threada.browser"


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser. `accounts`: keyed digests of account names, the latest first, so that the cookie names nobody."""

    id: str
    accounts: tuple[str, ...] = ()

    @classmethod
    def from_cookie(cls, cookie: str) -> Self | None:
        """Return the browser of a cookie; None if the cookie is missing, forged or too old."""
        if not cookie:
            return None
        try:
            value = signing.TimestampSigner(salt=_SALT).unsign(cookie, max_age=KNOWN_FOR)
        except signing.BadSignature:
            return None
        own, *accounts = value.split(".")
        return cls(own, tuple(accounts))

    @classmethod
    def new(cls) -> Self:
        return cls(secrets.token_hex(16))

    def knows(self, name: str) -> bool:
        """Return True if the account `name` signed in from here."""
        digests = [self._digest(name, key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
        return any(constant_time_compare(digest, known) for digest in digests for known in self.accounts)

    def with_account(self, name: str) -> Browser:
        """Return this browser with `name` as its latest account."""
        own = self._digest(name, settings.SECRET_KEY)
        others = [each for each in self.accounts if each != own]
        return Browser(self.id, (own, *others)[:MOST_ACCOUNTS])

    def cookie(self) -> str:
        return signing.TimestampSigner(salt=_SALT).sign(".".join((self.id, *self.accounts)))

    def _digest(self, name: str, key: str | bytes) -> str:
        return salted_hmac(f"{_SALT}.account", f"{self.id}\0{name}", secret=key, algorithm="sha256").hexdigest()[:32]
