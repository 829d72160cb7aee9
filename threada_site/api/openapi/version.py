"""Version of the API, and announcements of its ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from django.utils.http import http_date

API_VERSION: Final = "0.2"
"""Version that every answer names. See docs/reference/compatibility.md."""
HEADER: Final = "Threada-Version"


@dataclass(frozen=True, slots=True)
class Deprecation:
    """End of an operation: deprecated since a day, removed on another. `successor` is what to use instead."""

    since: date
    ends: date
    successor: str

    @property
    def headers(self) -> dict[str, str]:
        """Return `Deprecation` (RFC 9745) and `Sunset` (RFC 8594)."""
        return {"Deprecation": f"@{_timestamp(self.since)}", "Sunset": http_date(_timestamp(self.ends))}


def _timestamp(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
