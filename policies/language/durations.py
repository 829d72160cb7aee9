"""Conversion between ISO 8601 durations in documents (`PT8H`, `P3D`, `P1DT12H`, `P2W`) and `timedelta`.

Years and months have no fixed length, so they are refused; fractions are refused too.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

LONGEST: Final = timedelta(days=3660)

_WEEKS: Final = re.compile(r"P(?P<weeks>[0-9]{1,9})W")
_PARTS: Final = re.compile(
    r"P(?:(?P<days>[0-9]{1,9})D)?"
    r"(?:T(?=[0-9])(?:(?P<hours>[0-9]{1,9})H)?(?:(?P<minutes>[0-9]{1,9})M)?(?:(?P<seconds>[0-9]{1,9})S)?)?"
)


def parse_duration(text: str) -> timedelta:
    """Parse a duration above zero and of ten years or less.

    Raises `ValueError` with a message that says what to write instead.
    """
    match = _WEEKS.fullmatch(text) or _PARTS.fullmatch(text)
    parts = {unit: int(digits) for unit, digits in match.groupdict().items() if digits} if match else {}
    if not parts:
        raise ValueError(
            f"{text[:40]!r} is not a duration. Write ISO 8601 in weeks, or in days, hours, minutes and seconds: "
            "PT8H, P3D, P1DT12H, P2W."
        )
    try:
        duration = timedelta(**parts)
    except OverflowError:
        duration = timedelta.max
    if not timedelta() < duration <= LONGEST:
        raise ValueError(
            f"{text[:40]!r} is out of range. Write a duration above zero and of {LONGEST.days} days or less."
        )
    return duration


def format_duration(duration: timedelta) -> str:
    """Return `duration` in its canonical form: days, hours, minutes and seconds, each omitted if zero.

    Raises `ValueError` for durations that are zero, negative or not whole seconds.
    """
    if duration <= timedelta() or duration.microseconds:
        raise ValueError(f"{duration!r} has no duration text here: it must be whole seconds above zero.")
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days = f"{duration.days}D" if duration.days else ""
    clock = "".join(f"{amount}{unit}" for amount, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if amount)
    return f"P{days}" + (f"T{clock}" if clock else "")


def parse_working_time(text: str) -> timedelta:
    """Parse a duration of working time. Days are refused, because their length depends on the calendar.

    Raises `ValueError` with a message that says what to write instead.
    """
    if not text.startswith("PT"):
        raise ValueError(
            f"{text[:40]!r} is not a working time. Write it in hours and minutes: PT8H, PT1H30M; three days of eight "
            "hours are PT24H."
        )
    return parse_duration(text)


def format_working_time(duration: timedelta) -> str:
    """Return `duration` in hours, minutes and seconds, each omitted if zero.

    Raises `ValueError` for the same durations as `format_duration`.
    """
    format_duration(duration)
    minutes, seconds = divmod(duration // timedelta(seconds=1), 60)
    hours, minutes = divmod(minutes, 60)
    return "PT" + "".join(
        f"{amount}{unit}" for amount, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if amount
    )
