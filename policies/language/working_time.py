"""Working time: when a tenant works, and what instant lies so much working time after another. Pure.

Hours are local: across a change of the clocks a working day stays from nine to five, and only time that really passes
counts. What the clocks skip is no working time; what they repeat is worked twice.
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
"""From, until; `00:00` as the end is the day's end."""


@dataclass(frozen=True)
class WorkingCalendar:
    """`hours[0]` are those of Monday: intervals in order that do not overlap. At least one day has some.

    `extra_days` are free days with their names, `working_days` holidays on which one works all the same.
    """

    zone: ZoneInfo
    hours: tuple[tuple[Hours, ...], ...]
    country: str = ""
    subdivision: str = ""
    extra_days: Mapping[date, str] = field(default_factory=dict)
    working_days: frozenset[date] = frozenset()

    @cached_property
    def _public(self) -> Mapping[date, str]:
        """Public holidays; the library works years out when they are asked for."""
        if not self.country:
            return {}
        import holidays  # 6 MB that few processes need

        return holidays.country_holidays(self.country, subdiv=self.subdivision or None)

    def holiday_on(self, day: date) -> str:
        """The name of the holiday; "" on other days."""
        if day in self.extra_days:
            return self.extra_days[day]
        return "" if day in self.working_days else str(self._public.get(day) or "")

    def intervals_on(self, day: date) -> list[tuple[datetime, datetime]]:
        """The instants (UTC) between which one works on a local day; what the clocks skip is left out."""
        if self.holiday_on(day):
            return []
        found = []
        for start, end in self.hours[day.weekday()]:
            opens = _instant(datetime.combine(day, start), self.zone)
            last = day + timedelta(days=1) if end == MIDNIGHT else day
            closes = _instant(datetime.combine(last, end.replace(fold=1)), self.zone)
            if opens < closes:
                found.append((opens, closes))
        return found


DEFAULT_CALENDAR: Final = WorkingCalendar(zone=ZoneInfo("UTC"), hours=((((time(9), time(17))),),) * 5 + ((), ()))
"""For tenants that have none: Monday to Friday from nine to five in UTC, without holidays."""


def add_working_time(calendar: WorkingCalendar, start: datetime, duration: timedelta) -> datetime:
    """The instant (UTC) that lies `duration` of working time, more than nothing, after `start`.

    Outside working hours counting begins when work begins. Nothing lies further away than ten years: what would, ends
    there. A longer duration never ends earlier, and neither does a later start.
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


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The instant (UTC) of a local time; of one that the clocks skip, the instant at which they do."""
    instant = local.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None, fold=0) == local.replace(fold=0):
        return instant
    low, high = sorted(local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def _intervals(calendar: WorkingCalendar, start: datetime, limit: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Working intervals that end after `start`, in order, up to `limit`."""
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
