"""Working time: working hours of a tenant, and addition of working time to an instant. Pure.

Hours are local: when daylight saving time starts or ends, a working day is still nine to five, and elapsed time counts.
Skipped local time is not working time; repeated local time counts twice. Hours that end with the first of two equal
hours end when that hour first comes, and hours that end within it have a second part in the repetition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo

from policies.language.durations import LONGEST

MIDNIGHT: Final = time(0)

type Hours = tuple[time, time]
"""Start and end of an interval; an end of `00:00` means the end of the day."""


@dataclass(frozen=True)
class WorkingCalendar:
    """Working hours and holidays. `hours[0]` is Monday; intervals are sorted and do not overlap; one day has hours.

    `extra_days` maps additional holidays to their names; `working_days` lists public holidays that are working days.
    """

    zone: ZoneInfo
    hours: tuple[tuple[Hours, ...], ...]
    country: str = ""
    subdivision: str = ""
    extra_days: Mapping[date, str] = field(default_factory=dict)
    working_days: frozenset[date] = frozenset()

    @cached_property
    def _public(self) -> Mapping[date, str]:
        """Return the public holidays; the library computes each year on first access."""
        if not self.country:
            return {}
        import holidays  # takes 6 MB; few processes need it

        return holidays.country_holidays(self.country, subdiv=self.subdivision or None)

    def holiday_on(self, day: date) -> str:
        """Return the name of the holiday, or "" if `day` is not a holiday."""
        if day in self.extra_days:
            return self.extra_days[day]
        return "" if day in self.working_days else str(self._public.get(day) or "")

    def intervals_on(self, day: date) -> list[tuple[datetime, datetime]]:
        """Return the working intervals of a local day as instants (UTC), without skipped local time."""
        if self.holiday_on(day):
            return []
        found = []
        for start, end in self.hours[day.weekday()]:
            last = day + timedelta(days=1) if end == MIDNIGHT else day
            found += _between(datetime.combine(day, start), datetime.combine(last, end), self.zone)
        return sorted(found)


DEFAULT_CALENDAR: Final = WorkingCalendar(zone=ZoneInfo("UTC"), hours=((((time(9), time(17))),),) * 5 + ((), ()))
"""Calendar of tenants without one: Monday to Friday, nine to five in UTC, no holidays."""


def add_working_time(calendar: WorkingCalendar, start: datetime, duration: timedelta) -> datetime:
    """Return the instant (UTC) that is `duration` (above zero) of working time after `start`.

    Outside working hours, counting starts with the next working interval. The result is at most ten years after
    `start`. It is monotonic in `duration` and in `start`.
    """
    start = start.astimezone(UTC)
    limit = start + LONGEST
    left = duration
    for opens, closes in _intervals(calendar, start, limit):
        begins = max(opens, start)
        if closes - begins >= left:
            return min(begins + left, limit)
        left -= closes - begins
    return limit


def working_time_between(calendar: WorkingCalendar, start: datetime, end: datetime) -> timedelta:
    """Return the working time between two instants; zero if `end` is not after `start`.

    `add_working_time` of the result from `start` is the last working instant that is not after `end`.
    """
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    pieces = ((max(opens, start), min(closes, end)) for opens, closes in _intervals(calendar, start, end))
    return sum((until - since for since, until in pieces if until > since), timedelta())


def _between(start: datetime, end: datetime, zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """Return the intervals (UTC) in which local clocks show at least `start` and less than `end`.

    There are two if clocks go back and one of both local times comes twice.
    """
    opens, opens_again = _instant(start, zone), _instant(start.replace(fold=1), zone)
    closes, closes_again = _instant(end, zone), _instant(end.replace(fold=1), zone)
    if opens != opens_again:
        change = _clock_change(opens, opens_again, zone)
    elif closes != closes_again:
        change = _clock_change(closes, closes_again, zone)
    else:
        return [(opens, closes)] if opens < closes else []
    if opens < change < closes_again and opens_again <= change <= closes:
        return [(opens, closes_again)]
    parts = (opens, min(closes, change)), (max(opens_again, change), closes_again)
    return [part for part in parts if part[0] < part[1]]


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant (UTC) of a local time; for skipped local time, the instant of the clock change."""
    instant = local.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None, fold=0) == local.replace(fold=0):
        return instant
    low, high = sorted(local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return _clock_change(low, high, zone)


def _clock_change(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant (UTC) between both at which the zone's offset changes, to the second."""
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def _intervals(calendar: WorkingCalendar, start: datetime, limit: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield the working intervals that end after `start`, in order, up to `limit`."""
    day = start.astimezone(calendar.zone).date() - timedelta(days=1)
    while True:
        for opens, closes in calendar.intervals_on(day):
            if opens > limit:
                return
            if closes > start:
                yield opens, closes
        day += timedelta(days=1)
        if datetime.combine(day, MIDNIGHT, UTC) > limit + timedelta(days=2):
            return
