"""Parser of `kind: Calendar` documents, the working hours of a tenant. Pure.

```yaml
kind: Calendar
id: office
spec:
  time_zone: Europe/Berlin
  hours: {monday: ["08:00-12:00", "13:00-17:00"], tuesday: ["09:00-17:00"], …}
  holidays: {country: DE, subdivision: BY}
  extra_days: {"2026-12-24": Christmas Eve}
  working_days: ["2026-06-04"]
```
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, time
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from policies.language.document_header import read_header
from policies.language.field_errors import FieldErrors, suggestion
from policies.language.working_time import MIDNIGHT, Hours, WorkingCalendar
from threada_site.kernel.errors import DocumentInvalid
from threada_site.kernel.json.pointers import pointer_to

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MAX_DAYS: Final = 1000
MAX_INTERVALS: Final = 8
MAX_NAME: Final = 200
_INTERVAL: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_FIELDS: Final = ("time_zone", "hours", "holidays", "extra_days", "working_days")


@dataclass(frozen=True, slots=True)
class CalendarDocument:
    """A parsed calendar document. `id` is None for a bare spec."""

    id: str | None
    spec: Mapping[str, Any]
    calendar: WorkingCalendar


def parse_calendar(value: Any) -> CalendarDocument:
    """Parse a whole document (`kind`, `id`, `spec`) or a bare spec.

    Raises `DocumentInvalid` with a `FieldError` for every error.
    """
    if not isinstance(value, Mapping):
        raise DocumentInvalid("A calendar is an object. Write {kind: Calendar, id: office, spec: {…}}.")
    errors = FieldErrors()
    identifier, spec, base = read_header(value, "Calendar", errors)
    errors.known_fields(spec, _FIELDS, base)
    reader = _Reader(errors)
    zone = reader.zone(spec, base)
    hours = reader.hours(spec, base)
    country, subdivision = reader.holidays(spec, base)
    extra_days = reader.extra_days(spec, base)
    working_days = reader.working_days(spec, base)
    if errors.found:
        raise DocumentInvalid(errors=errors.found)
    calendar = WorkingCalendar(
        zone=zone,
        hours=hours,
        country=country,
        subdivision=subdivision,
        extra_days=extra_days,
        working_days=working_days,
    )
    return CalendarDocument(identifier, dict(spec), calendar)


@lru_cache(maxsize=1)
def time_zones() -> frozenset[str]:
    """Return the names of the accepted time zones."""
    return frozenset(available_timezones()) - {"localtime", "Factory"}


class _Reader:
    """Reads one spec and collects errors. Return values are valid only if there are no errors."""

    def __init__(self, errors: FieldErrors) -> None:
        self._errors = errors

    def zone(self, spec: Mapping[str, Any], base: str) -> ZoneInfo:
        name = spec.get("time_zone")
        if isinstance(name, str) and name in time_zones():
            return ZoneInfo(name)
        nearest = suggestion(name, sorted(time_zones())) if isinstance(name, str) else ""
        said = f"Name an IANA time zone, e.g. Europe/Berlin.{nearest if len(nearest) < 100 else ''}"
        self._errors.add(pointer_to(base, "time_zone"), said, "invalid" if "time_zone" in spec else "required")
        return ZoneInfo("UTC")

    def hours(self, spec: Mapping[str, Any], base: str) -> tuple[tuple[Hours, ...], ...]:
        pointer = pointer_to(base, "hours")
        named = spec.get("hours")
        if not isinstance(named, Mapping):
            self._errors.add(pointer, 'Write the hours of each day, e.g. {monday: ["09:00-17:00"]}.', "required")
            return ()
        self._errors.known_fields(named, WEEKDAYS, pointer)
        hours = tuple(self._day(named.get(day, []), pointer_to(pointer, day)) for day in WEEKDAYS)
        if not any(hours):
            self._errors.add(pointer, "No day has working hours. Give at least one day hours.")
        return hours

    def _day(self, listed: Any, pointer: str) -> tuple[Hours, ...]:
        if not isinstance(listed, list) or len(listed) > MAX_INTERVALS:
            self._errors.add(pointer, f'A day is a list of at most {MAX_INTERVALS} times, e.g. ["09:00-17:00"].')
            return ()
        found: list[Hours] = []
        for index, text in enumerate(listed):
            match = _INTERVAL.fullmatch(text) if isinstance(text, str) else None
            if match is None or (match[3] == "24" and match[4] != "00"):
                self._errors.add(pointer_to(pointer, index), "Write from and until as 09:00-17:00, at most 24:00.")
                continue
            start = time(int(match[1]), int(match[2]))
            end = MIDNIGHT if match[3] == "24" else time(int(match[3]), int(match[4]))
            if (end != MIDNIGHT and end <= start) or (end == MIDNIGHT and match[3] != "24"):
                self._errors.add(pointer_to(pointer, index), "It ends before it starts. Split it into two days.")
            elif found and (found[-1][1] == MIDNIGHT or start < found[-1][1]):
                self._errors.add(pointer_to(pointer, index), "The interval starts before the previous one ends.")
            else:
                found.append((start, end))
        return tuple(found)

    def holidays(self, spec: Mapping[str, Any], base: str) -> tuple[str, str]:
        if "holidays" not in spec:
            return "", ""
        pointer = pointer_to(base, "holidays")
        named = spec["holidays"]
        if not isinstance(named, Mapping):
            self._errors.add(pointer, "Name a country, e.g. {country: DE, subdivision: BY}.", "wrong_type")
            return "", ""
        self._errors.known_fields(named, ("country", "subdivision"), pointer)
        import holidays  # takes 6 MB; few processes need it

        known = holidays.list_supported_countries(include_aliases=False)
        country = named.get("country")
        if not isinstance(country, str) or country not in known:
            self._errors.add(pointer_to(pointer, "country"), "Name a country by its ISO 3166 code, e.g. DE.")
            return "", ""
        subdivision = named.get("subdivision", "")
        if subdivision and subdivision not in known[country]:
            listed = ", ".join(known[country]) or "none"
            self._errors.add(pointer_to(pointer, "subdivision"), f"{country} has the subdivisions {listed}.")
            return "", ""
        return country, str(subdivision)

    def extra_days(self, spec: Mapping[str, Any], base: str) -> dict[date, str]:
        pointer = pointer_to(base, "extra_days")
        named = spec.get("extra_days", {})
        if not isinstance(named, Mapping) or len(named) > MAX_DAYS:
            said = f'Write at most {MAX_DAYS} days with their names, e.g. {{"2026-12-24": Christmas Eve}}.'
            self._errors.add(pointer, said)
            return {}
        days: dict[date, str] = {}
        for text, name in named.items():
            day = self._date(text, pointer_to(pointer, text))
            if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
                self._errors.add(pointer_to(pointer, text), f"Give the day a name of 1 to {MAX_NAME} characters.")
            elif day is not None:
                days[day] = name
        return days

    def working_days(self, spec: Mapping[str, Any], base: str) -> frozenset[date]:
        pointer = pointer_to(base, "working_days")
        listed = spec.get("working_days", [])
        if not isinstance(listed, list) or len(listed) > MAX_DAYS:
            self._errors.add(pointer, f'List at most {MAX_DAYS} days, e.g. ["2026-06-04"].', "wrong_type")
            return frozenset()
        found = (self._date(text, pointer_to(pointer, index)) for index, text in enumerate(listed))
        return frozenset(day for day in found if day is not None)

    def _date(self, text: Any, pointer: str) -> date | None:
        if isinstance(text, str) and len(text) == 10:
            with suppress(ValueError):
                return date.fromisoformat(text)
        self._errors.add(pointer, "Write the day as 2026-12-24, in quotes.")
        return None
