"""Counters of attempts to sign in and of requests for reset links, per account and per address, in all processes.

An attempt is counted before its password is checked, and taken back if the password is right, so that parallel attempts
cannot exceed the limits. A refused attempt is not counted.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Greatest
from django.utils.crypto import salted_hmac

from threada_site.identity.sign_in.browsers import Browser
from threada_site.identity.sign_in.delays import ACCOUNT, ADDRESS, FORGOTTEN_AFTER, FREE_PER_NETWORK, Delay
from threada_site.kernel import clock, errors
from threada_site.kernel.errors import ThreadaError
from threada_site.tenancy.instance_models import SignInCounter

_PRUNED_AT_ONCE: Final = 100
_LONGEST_NAME: Final = 254


@dataclass(frozen=True, slots=True)
class Counted:
    """What is counted: the first part of the keys of its counters, and the refusal of one that must wait."""

    key: str
    refusal: type[ThreadaError]
    said: str

    def digest(self, kind: str, *values: str) -> Digest:
        """Return the key of a counter."""
        return _digest(f"{self.key}.{kind}", *values)

    def delayed(self, wait: timedelta) -> ThreadaError:
        """Return the refusal of an attempt that has to wait."""
        seconds = max(1, math.ceil(wait.total_seconds()))
        shown = (
            ("1 second" if seconds == 1 else f"{seconds} seconds")
            if seconds < 120
            else f"{math.ceil(seconds / 60)} minutes"
        )
        return self.refusal(self.said.format(shown), headers={"Retry-After": str(seconds)})


SIGN_IN: Final = Counted(
    "sign_in",
    errors.SignInDelayed,
    "Too many sign-ins failed. Try again in {}, or use a browser in which you signed in before.",
)
RESET: Final = Counted("reset", errors.ResetDelayed, "Too many reset links were asked for. Try again in {}.")

type Digest = bytes
type Count = tuple[int, datetime]


@dataclass(frozen=True, slots=True)
class Origin:
    """Origin of an attempt. `address`: what limits count by, "" if it is that of a proxy. `network`: a wider network.

    `browser`: None without a valid cookie.
    """

    address: str
    network: str
    browser: Browser | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was counted."""

    counters: tuple[Digest, ...]
    is_from_known_browser: bool

    def succeeded(self) -> None:
        """Take this attempt back: the password was right. The counter of a known browser begins at zero again.

        Other failures of the account and the address stay counted, so that a person who signs in does not give a
        stranger, or themself for other accounts, further attempts.
        """
        if self.is_from_known_browser:
            self._rows().delete()
        else:
            self.withdraw()

    def withdraw(self) -> None:
        """Take this attempt back: the password was not checked."""
        with transaction.atomic():
            locked = self._rows().order_by("key").select_for_update()  # in the order of `begin_attempt`
            self._rows().filter(key__in=[row.key for row in locked]).update(failures=Greatest(F("failures") - 1, 0))

    def _rows(self) -> QuerySet[SignInCounter]:
        return SignInCounter.objects.filter(key__in=self.counters)


def begin_attempt(name: str, origin: Origin, *, now: datetime | None = None, counted: Counted = SIGN_IN) -> Attempt:
    """Count an attempt to sign in to the account `name`, which need not exist. Raise `SignInDelayed` if it must wait.

    With `counted=RESET`, count a request for a reset link, and raise `ResetDelayed`.

    * From a browser in which this account signed in before: the counter of this browser and account alone applies, so
      that nobody else can delay the person.
    * From any other browser: the counters of the account and of the address apply. That of the account does not delay
      the first attempts from a network, so that a stranger elsewhere cannot keep the person out.
    """
    now = now or clock.now()
    account = _normalised(name)
    if origin.browser is not None and origin.browser.knows(account):
        own = counted.digest("browser", origin.browser.id, account)
        return _count(
            [own], lambda found: _remaining(ACCOUNT, found.get(own), now=now), now=now, counted=counted, is_known=True
        )
    whole = counted.digest("account", account)
    pair = counted.digest("account from network", account, origin.network)
    address = counted.digest("address", origin.address) if origin.address else None

    def remaining(found: dict[Digest, Count]) -> timedelta:
        from_here = ACCOUNT.counted(*found.get(pair, (0, now)), now=now)
        return max(
            _remaining(ADDRESS, found.get(address) if address else None, now=now),
            _remaining(ACCOUNT, found.get(whole), now=now) if from_here >= FREE_PER_NETWORK else timedelta(0),
        )

    return _count([key for key in (whole, pair, address) if key], remaining, now=now, counted=counted, is_known=False)


def begin_code_attempt(name: str, address: str, *, now: datetime | None = None) -> Attempt:
    """Count an attempt to enter a code of the account `name`. Raise `SignInDelayed` if it must wait.

    Only somebody who knows the password, or has a session, gets here. So one counter of the account applies to all
    browsers and networks, and nobody else can delay the person.
    """
    now = now or clock.now()
    whole = SIGN_IN.digest("code", _normalised(name))
    source = SIGN_IN.digest("address", address) if address else None

    def remaining(found: dict[Digest, Count]) -> timedelta:
        return max(
            _remaining(ADDRESS, found.get(source) if source else None, now=now),
            _remaining(ACCOUNT, found.get(whole), now=now),
        )

    return _count([key for key in (whole, source) if key], remaining, now=now, counted=SIGN_IN, is_known=False)


def use_once(value: str) -> bool:
    """Return True for the first use of a secret of one sign-in, in any process, within 24 hours."""
    _, is_first = SignInCounter.objects.get_or_create(
        key=_digest("sign_in.used", value), defaults={"failures": 0, "last_at": clock.now()}
    )
    return is_first


def forget_old_attempts(*, now: datetime | None = None) -> None:
    """Delete some counters that do not count any more. Called after failures, which make the rows."""
    old = SignInCounter.objects.filter(last_at__lt=(now or clock.now()) - FORGOTTEN_AFTER)
    locked = old.select_for_update(skip_locked=True).values_list("key", flat=True)
    with transaction.atomic():
        SignInCounter.objects.filter(key__in=list(locked[:_PRUNED_AT_ONCE])).delete()


def _count(
    keys: list[Digest],
    remaining: Callable[[dict[Digest, Count]], timedelta],
    *,
    now: datetime,
    counted: Counted,
    is_known: bool,
) -> Attempt:
    """Count an attempt in all counters `keys`, unless `remaining` says that it must wait.

    Most attempts of a stranger in a loop must wait. They write nothing.
    """
    keys = sorted(keys)  # locked in one order
    rows = SignInCounter.objects.filter(key__in=keys)
    read = {bytes(row.key): (row.failures, row.last_at) for row in rows}
    if (wait := remaining(read)) > timedelta(0):
        raise counted.delayed(wait)
    with transaction.atomic():
        if (wait := remaining(_locked(keys, now=now))) > timedelta(0):
            raise counted.delayed(wait)
        SignInCounter.objects.filter(key__in=keys).update(failures=F("failures") + 1, last_at=now)
    return Attempt(tuple(keys), is_known)


def _locked(keys: list[Digest], *, now: datetime) -> dict[Digest, Count]:
    """Make missing counters, lock all and return them. Counters that are old begin at zero."""
    table = SignInCounter._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} AS c (key, failures, last_at) SELECT k, 0, %s FROM unnest(%s::bytea[]) AS k "
            "ON CONFLICT (key) DO UPDATE SET failures = CASE WHEN c.last_at <= %s THEN 0 ELSE c.failures END "
            "RETURNING key, failures, last_at",
            [now, keys, now - FORGOTTEN_AFTER],
        )
        return {bytes(key): (failures, last_at) for key, failures, last_at in cursor.fetchall()}


def _remaining(delay: Delay, found: Count | None, *, now: datetime) -> timedelta:
    return timedelta(0) if found is None else delay.remaining(*found, now=now)


def _normalised(name: str) -> str:
    return unicodedata.normalize("NFKC", name.strip()[:_LONGEST_NAME]).casefold()


def _digest(kind: str, *values: str) -> Digest:
    """Return the key of a counter: a keyed digest, because people type passwords into the field for names."""
    text = "\0".join(values)
    return salted_hmac(f"threada.{kind}", text, algorithm="sha256").digest()
