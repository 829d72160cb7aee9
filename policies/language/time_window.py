"""The time window in which an overlay applies: optional start and optional end. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from threada_site.kernel.clock import rfc3339
from threada_site.kernel.documents.field_errors import FieldErrors
from threada_site.kernel.json.pointers import pointer_to

_PATTERN: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
_INSTANT: Final = re.compile(_PATTERN)
_ADVICE: Final = "Write an RFC 3339 instant with its offset, in quotes, e.g. 2026-12-24T00:00:00Z."


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A half-open interval: includes `starts_at`, excludes `ends_at`. None means no limit on that side."""

    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def holds(self, instant: datetime) -> bool:
        """Return True if `instant` is in the window."""
        return (self.starts_at is None or self.starts_at <= instant) and (
            self.ends_at is None or instant < self.ends_at
        )

    def as_json(self) -> dict[str, str | None]:
        return {
            "starts_at": rfc3339(self.starts_at) if self.starts_at else None,
            "ends_at": rfc3339(self.ends_at) if self.ends_at else None,
        }


ALWAYS: Final = TimeWindow()


def whole_milliseconds(instant: datetime) -> datetime:
    """Return `instant` in UTC, cut to the precision of facts, so that a replay matches the same time windows."""
    return instant.astimezone(UTC).replace(microsecond=instant.microsecond // 1000 * 1000)


def instant(description: str) -> dict[str, Any]:
    """Return the JSON Schema of one side of a time window."""
    return {
        "type": ["string", "null"],
        "pattern": f"^{_PATTERN}$",
        "description": description,
        "examples": ["2026-12-24T00:00:00Z"],
        "errorMessage": _ADVICE,
    }


def read_time_window(value: Any, pointer: str, errors: FieldErrors) -> TimeWindow:
    """Parse `starts_at` and `ends_at` of an object; add what is wrong to `errors`."""
    starts_at = _instant(value.get("starts_at"), pointer_to(pointer, "starts_at"), errors)
    ends_at = _instant(value.get("ends_at"), pointer_to(pointer, "ends_at"), errors)
    if starts_at and ends_at and ends_at <= starts_at:
        errors.add(pointer_to(pointer, "ends_at"), "It ends before it starts. Write a later instant.")
        return ALWAYS
    return TimeWindow(starts_at, ends_at)


def _instant(text: Any, pointer: str, errors: FieldErrors) -> datetime | None:
    if text is None:
        return None
    if isinstance(text, str) and _INSTANT.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    errors.add(pointer, _ADVICE)
    return None
