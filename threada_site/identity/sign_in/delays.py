"""Delays between attempts to sign in. Imports no Django."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final


@dataclass(frozen=True, slots=True)
class Delay:
    """Delay that doubles with each failed attempt beyond `free` ones, up to `longest`.

    A counter without an attempt for `forgotten_after` begins at zero again.
    """

    free: int
    first: timedelta
    longest: timedelta
    forgotten_after: timedelta

    def remaining(self, failures: int, last_at: datetime, *, now: datetime) -> timedelta:
        """Return the time until the next attempt is admitted; zero if it is admitted now."""
        if self.counted(failures, last_at, now=now) < self.free:
            return timedelta(0)
        doublings = min(failures - self.free, 30)
        return max(timedelta(0), last_at + min(self.first * 2**doublings, self.longest) - now)

    def counted(self, failures: int, last_at: datetime, *, now: datetime) -> int:
        """Return the failures that still count."""
        return 0 if now - last_at >= self.forgotten_after else failures


FORGOTTEN_AFTER: Final = timedelta(hours=24)
ACCOUNT: Final = Delay(
    free=5, first=timedelta(seconds=1), longest=timedelta(minutes=15), forgotten_after=FORGOTTEN_AFTER
)
"""Delay of one account, for all browsers that it does not know together, and for each known one by itself.

At most 110 guesses a day, near the limit of 100 consecutive failures in NIST SP 800-63B-4, section 3.2.2.
"""
ADDRESS: Final = Delay(
    free=20, first=timedelta(seconds=1), longest=timedelta(minutes=1), forgotten_after=FORGOTTEN_AFTER
)
"""Delay of one address, for all accounts together. People behind one network address translation share it."""
FREE_PER_NETWORK: Final = 3
"""Failures of one network at one account before the counter of the account delays further attempts from there."""
