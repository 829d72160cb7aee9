"""Typed access to an object of a document whose structure was checked by its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from integrations.attempts.retry import RetryPolicy
from integrations.documents.schema import seconds_advice
from integrations.documents.templates import Place, Template, compile_template
from threada_site.kernel.documents.field_errors import FieldErrors
from threada_site.kernel.errors import DocumentInvalid
from threada_site.kernel.json.pointers import pointer_to

_DURATION: Final = re.compile(
    r"P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>[\d.]+)S)?)?", re.ASCII
)
_SECONDS: Final = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}


class Fields:
    """One object of a document. Members that have errors count as absent, so that an error has no consequences."""

    def __init__(self, value: Any, place: str, errors: FieldErrors) -> None:
        self.place = place
        self.errors = errors
        self._members: Mapping[str, Any] = value if isinstance(value, dict) else {}

    def __contains__(self, name: str) -> bool:
        return name in self._members and self.errors.is_clean(self.pointer(name))

    def names(self) -> list[str]:
        """Return the names of the members, sorted, since JSON objects have no order."""
        return sorted(self._members)

    def pointer(self, *names: str | int) -> str:
        return pointer_to(self.place, *names)

    def refuse(self, detail: str, *names: str | int, code: str = "invalid") -> None:
        """Add an error at a member."""
        self.errors.add(self.pointer(*names), detail, code)

    def value(self, name: str, default: Any = None) -> Any:
        """Return a member, or `default` if it is absent or has an error."""
        return self._members[name] if name in self else default

    def object(self, name: str) -> Fields:
        """Return the fields of an inner object, without members if it is absent."""
        return Fields(self._members.get(name), self.pointer(name), self.errors)

    def seconds(self, name: str, default: float, *, highest: float) -> float:
        """Return a duration in seconds, written as a number or as ISO 8601 text such as `PT30S`."""
        written = self.value(name, default)
        found = as_seconds(written) if isinstance(written, str) else float(written)
        if not 0 < found <= highest:
            self.refuse(seconds_advice(highest), name)
            return default
        return found

    def retry(self, name: str, default: RetryPolicy) -> RetryPolicy:
        """Return `{attempts, backoff, max_backoff, deadline}`. Missing members come from `default`."""
        inner = self.object(name)
        return RetryPolicy(
            attempts=inner.value("attempts", default.attempts),
            backoff_s=inner.seconds("backoff", default.backoff_s, highest=3600),
            max_backoff_s=inner.seconds("max_backoff", default.max_backoff_s, highest=86400),
            deadline_s=inner.seconds("deadline", default.deadline_s, highest=30 * 86400),
        )

    def template(self, name: str, place: Place = Place.VALUE, *, default: Any = None) -> Template:
        """Return the compiled template of a member, or of `default` if it is absent or has an error."""
        try:
            return compile_template(self.value(name, default), pointer=self.pointer(name), place=place)
        except DocumentInvalid as error:
            self.errors.extend(error.errors)
            return Template(None)


def as_seconds(text: str) -> float:
    """Return the seconds of an ISO 8601 duration, 0 for any other text."""
    match = _DURATION.fullmatch(text)
    parts = match.groupdict() if match else {}
    return sum(float(amount) * _SECONDS[unit] for unit, amount in parts.items() if amount)
