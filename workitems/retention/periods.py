"""Retention periods: ISO 8601 durations with years and months, computed on the calendar. Pure.

`P7Y`, `P18M`, `P90D`, `P2W`, `P1Y6M`, `PT12H`. One month before 31 March is the last day of February.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

LONGEST_YEARS: Final = 100

_WEEKS: Final = re.compile(r"P(?P<weeks>[0-9]{1,4})W")
_PARTS: Final = re.compile(
    r"P(?:(?P<years>[0-9]{1,3})Y)?(?:(?P<months>[0-9]{1,4})M)?(?:(?P<days>[0-9]{1,5})D)?"
    r"(?:T(?=[0-9])(?:(?P<hours>[0-9]{1,6})H)?(?:(?P<minutes>[0-9]{1,8})M)?(?:(?P<seconds>[0-9]{1,9})S)?)?"
)


@dataclass(frozen=True, slots=True)
class Period:
    """Calendar period: whole months plus a duration."""

    months: int
    rest: timedelta

    def before(self, instant: datetime) -> datetime:
        """Return the time (UTC) one period before `instant`, at least the beginning of year 1."""
        utc = instant.astimezone(UTC)
        month = utc.year * 12 + utc.month - 1 - self.months
        year, month = divmod(month, 12)
        if year < 1:
            return datetime.min.replace(tzinfo=UTC)
        day = min(utc.day, calendar.monthrange(year, month + 1)[1])
        try:
            return utc.replace(year=year, month=month + 1, day=day) - self.rest
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)

    def is_shorter_than(self, other: Period) -> bool:
        """Return True if this period is shorter; a month counts 30.4375 days when compared with days."""
        return self._seconds() < other._seconds()

    def _seconds(self) -> float:
        return self.months * 30.4375 * 86_400 + self.rest.total_seconds()


def parse_period(text: str) -> Period:
    """Parse a period. Raise `ValueError` with a sentence that states the expected form."""
    match = _WEEKS.fullmatch(text) or _PARTS.fullmatch(text)
    parts = {unit: int(digits) for unit, digits in match.groupdict().items() if digits} if match else {}
    if not parts:
        raise ValueError(f"{text[:40]!r} is not a period. Write ISO 8601, e.g. P90D, P18M, P7Y.")
    months = parts.pop("years", 0) * 12 + parts.pop("months", 0)
    period = Period(months, timedelta(**parts))
    if period == Period(0, timedelta()) or period._seconds() > LONGEST_YEARS * 366 * 86_400:
        raise ValueError(f"{text[:40]!r} is out of range. Write a period between zero and {LONGEST_YEARS} years.")
    return period
