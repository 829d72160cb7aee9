"""Values in the reader's locale and time zone. Pure.

Every function returns None if a value does not have the form that its format expects; it is then shown as it is. The
exact value is always shown beside a formatted one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, tzinfo
from typing import Any, Final

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal, format_percent
from babel.units import format_unit

from policies.language.durations import parse_duration
from workitems.display.amounts import money, whole_number_in

_LARGEST: Final = 10**15
_UNITS: Final = ((86_400, "duration-day"), (3_600, "duration-hour"), (60, "duration-minute"), (1, "duration-second"))
_SIZES: Final = (
    (10**12, "digital-terabyte"),
    (10**9, "digital-gigabyte"),
    (10**6, "digital-megabyte"),
    (10**3, "digital-kilobyte"),
)


def locale_named(language: str | None) -> Locale:
    """Return the locale of a language of the console; English if it is unknown."""
    try:
        return Locale.parse((language or "en").replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        return Locale("en")


def formatted(
    value: Any,
    annotation: Mapping[str, Any],
    json_format: str,
    *,
    root: Any,
    people: Mapping[str, str],
    locale: Locale,
    zone: tzinfo,
) -> str | None:
    """Return a scalar in the format of its schema, or None. `root` is the payload that currency pointers refer to."""
    match annotation.get("format"):
        case "money":
            return money(value, _currency(annotation.get("currency"), root), locale=locale)
        case "percent":
            return _percent(value, locale)
        case "number":
            return _number(value, locale)
        case "duration":
            return duration_in_words(value, locale)
        case "bytes":
            return _bytes(value, locale)
        case "person":
            return people.get(value) if isinstance(value, str) else None
    return _instant(value, json_format, locale, zone)


def value_at(root: Any, pointer: str) -> Any:
    """Return the value at an RFC 6901 pointer; None if there is none."""
    value = root
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and len(key) < 7 and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _currency(given: Any, root: Any) -> Any:
    return value_at(root, given["pointer"]) if isinstance(given, Mapping) and "pointer" in given else given


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _number(value: Any, locale: Locale) -> str | None:
    return str(format_decimal(value, locale=locale, decimal_quantization=False)) if _is_number(value) else None


def _percent(value: Any, locale: Locale) -> str | None:
    if not _is_number(value):
        return None
    return str(format_percent(value, locale=locale, decimal_quantization=False))


def duration_in_words(value: Any, locale: Locale) -> str | None:
    """Return a duration, given in whole seconds or as ISO 8601 text such as PT2H30M, in days to seconds."""
    seconds = whole_number_in(value)
    if isinstance(value, str) and len(value) <= 40:
        try:
            seconds = int(parse_duration(value).total_seconds())
        except ValueError:
            return None
    if seconds is None or not 0 <= seconds < _LARGEST:
        return None
    parts = []
    for size, unit in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(format_unit(count, unit, locale=locale))
    return " ".join(parts) or str(format_unit(0, "duration-second", locale=locale))


def _bytes(value: Any, locale: Locale) -> str | None:
    count = whole_number_in(value)
    if count is None or not 0 <= count < _LARGEST:
        return None
    for size, unit in _SIZES:
        if count >= size:
            return str(format_unit(round(count / size, 2), unit, length="short", locale=locale))
    return str(format_unit(count, "digital-byte", locale=locale))


def size_in_words(size: int, locale: Locale) -> str:
    """Return a number of bytes in the largest fitting unit."""
    return _bytes(size, locale) or str(size)


def _instant(value: Any, json_format: str, locale: Locale, zone: tzinfo) -> str | None:
    if not isinstance(value, str) or len(value) > 40 or json_format not in ("date", "date-time"):
        return None
    try:
        if json_format == "date":
            return str(format_date(date.fromisoformat(value), format="long", locale=locale))
        instant = datetime.fromisoformat(value)
        if instant.tzinfo is None:
            return None
        return str(format_datetime(instant.astimezone(zone), format="long", locale=locale))
    except (ValueError, OverflowError):
        return None
