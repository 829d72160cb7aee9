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

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from policies.language.working_time import MIDNIGHT, Hours, WorkingCalendar
from threada_site.kernel.documents.field_errors import FieldErrors, nearest
from threada_site.kernel.documents.kind_schema import KindSchema
from threada_site.kernel.documents.structure import Schema, closed_object
from threada_site.kernel.json.pointers import pointer_to

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MAX_DAYS: Final = 1000
MAX_INTERVALS: Final = 8
MAX_NAME: Final = 200
_DAY_ADVICE: Final = "Write the day as 2026-12-24, in quotes."
_INTERVALS: Final[Schema] = {
    "type": "array",
    "maxItems": MAX_INTERVALS,
    "items": {
        "type": "string",
        "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$",
        "errorMessage": "Write from and until as 09:00-17:00, at most 24:00.",
    },
    "examples": [["08:00-12:00", "13:00-17:00"]],
    "errorMessage": f'A day is a list of at most {MAX_INTERVALS} times, e.g. ["09:00-17:00"].',
}
CALENDAR_SCHEMA: Final = KindSchema(
    "Calendar",
    closed_object(
        {
            "time_zone": {
                "type": "string",
                "description": "IANA time zone.",
                "examples": ["Europe/Berlin"],
                "errorMessage": "Name an IANA time zone, e.g. Europe/Berlin.",
            },
            "hours": closed_object(
                {day: {**_INTERVALS, "description": f"Working hours on {day.capitalize()}."} for day in WEEKDAYS},
                description="Working hours of each day. Days that are left out have none.",
                errorMessage='Write the hours of each day, e.g. {monday: ["09:00-17:00"]}.',
            ),
            "holidays": closed_object(
                {
                    "country": {"type": "string", "description": "ISO 3166 code.", "examples": ["DE"]},
                    "subdivision": {
                        "type": ["string", "null"],
                        "description": "Code of the subdivision.",
                        "examples": ["BY"],
                    },
                },
                required=("country",),
                description="Public holidays that are no working days.",
                errorMessage="Name a country, e.g. {country: DE, subdivision: BY}.",
            ),
            "extra_days": {
                "type": "object",
                "maxProperties": MAX_DAYS,
                "propertyNames": {"format": "date", "errorMessage": _DAY_ADVICE},
                "additionalProperties": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": MAX_NAME,
                    "errorMessage": f"Give the day a name of 1 to {MAX_NAME} characters.",
                },
                "description": "More days without work, with their names.",
                "examples": [{"2026-12-24": "Christmas Eve"}],
                "errorMessage": f'Write at most {MAX_DAYS} days with names, e.g. {{"2026-12-24": Christmas Eve}}.',
            },
            "working_days": {
                "type": "array",
                "maxItems": MAX_DAYS,
                "items": {"type": "string", "format": "date", "errorMessage": _DAY_ADVICE},
                "description": "Holidays on which people work.",
                "examples": [["2026-06-04"]],
                "errorMessage": f'List at most {MAX_DAYS} days, e.g. ["2026-06-04"].',
            },
        },
        required=("time_zone", "hours"),
        description="Working hours and holidays of the tenant.",
        errorMessage="A calendar is an object. Write {kind: Calendar, id: office, spec: {…}}.",
    ),
)


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
    identifier, spec, base, errors = CALENDAR_SCHEMA.parse(value)
    _check_zone(spec, pointer_to(base, "time_zone"), errors)
    hours = _hours(spec, pointer_to(base, "hours"), errors)
    _check_holidays(spec, pointer_to(base, "holidays"), errors)
    errors.raise_any(value=value)
    holidays = spec.get("holidays", {})
    calendar = WorkingCalendar(
        zone=ZoneInfo(spec["time_zone"]),
        hours=hours,
        country=holidays.get("country", ""),
        subdivision=holidays.get("subdivision") or "",
        extra_days={date.fromisoformat(day): name for day, name in spec.get("extra_days", {}).items()},
        working_days=frozenset(map(date.fromisoformat, spec.get("working_days", ()))),
    )
    return CalendarDocument(identifier, dict(spec), calendar)


@lru_cache(maxsize=1)
def time_zones() -> frozenset[str]:
    """Return the names of the accepted time zones."""
    return frozenset(available_timezones()) - {"localtime", "Factory"}


def _check_zone(spec: Mapping[str, Any], pointer: str, errors: FieldErrors) -> None:
    if "time_zone" in spec and errors.is_clean(pointer) and spec["time_zone"] not in time_zones():
        close = nearest(spec["time_zone"], sorted(time_zones()))
        said = f" Did you mean {close}?" if close else ""
        errors.add(pointer, f"Name an IANA time zone, e.g. Europe/Berlin.{said}")


def _hours(spec: Mapping[str, Any], pointer: str, errors: FieldErrors) -> tuple[tuple[Hours, ...], ...]:
    named = spec.get("hours")
    if not isinstance(named, Mapping):
        return ()
    hours = tuple(_day(named.get(day, []), pointer_to(pointer, day), errors) for day in WEEKDAYS)
    if not any(hours) and errors.is_clean(pointer):
        errors.add(pointer, "No day has working hours. Give at least one day hours.")
    return hours


def _day(listed: list[str], pointer: str, errors: FieldErrors) -> tuple[Hours, ...]:
    """Return the valid intervals of a day."""
    found: list[Hours] = []
    if not errors.is_clean(pointer):
        return ()
    for index, interval in enumerate(listed):
        place = pointer_to(pointer, index)
        first, last = interval.split("-")
        start = time.fromisoformat(first)
        end = MIDNIGHT if last == "24:00" else time.fromisoformat(last)
        if last != "24:00" and end <= start:
            errors.add(place, "It ends before it starts. Split it into two days.")
        elif found and (found[-1][1] == MIDNIGHT or start < found[-1][1]):
            errors.add(place, "The interval starts before the previous one ends.")
        else:
            found.append((start, end))
    return tuple(found)


def _check_holidays(spec: Mapping[str, Any], pointer: str, errors: FieldErrors) -> None:
    if "holidays" not in spec or not errors.is_clean(pointer):
        return
    import holidays  # takes 6 MB; few processes need it

    known = holidays.list_supported_countries(include_aliases=False)
    country, subdivision = spec["holidays"].get("country"), spec["holidays"].get("subdivision")
    if country not in known:
        errors.add(pointer_to(pointer, "country"), "Name a country by its ISO 3166 code, e.g. DE.")
    elif subdivision and subdivision not in known[country]:
        listed = ", ".join(known[country]) or "none"
        errors.add(pointer_to(pointer, "subdivision"), f"{country} has the subdivisions {listed}.")
