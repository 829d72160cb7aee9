"""Typed access to the members of a document's objects. Collects every problem by its JSON pointer."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from integrations.documents.templates import Place, Template, compile_template
from integrations.executions.retry import RetryPolicy
from threada_site.kernel.errors import DocumentInvalid, FieldError
from threada_site.kernel.json.pointers import pointer_to

_DURATION: Final = re.compile(
    r"P(?:(?P<days>\d{1,4})D)?(?:T(?=\d)(?:(?P<hours>\d{1,5})H)?(?:(?P<minutes>\d{1,6})M)?(?:(?P<seconds>\d{1,7}(?:\.\d{1,3})?)S)?)?",
    re.ASCII,
)
_SECONDS: Final = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}


class Fields:
    """One object of a document. Every reader returns a usable value or None, and records the problem."""

    def __init__(
        self, value: Any, place: str, errors: list[FieldError], *, known: Collection[str] | None = None
    ) -> None:
        """Read the object `value`. `known` lists the allowed members (None: any)."""
        self.place = place
        self._errors = errors
        self._members: Mapping[str, Any] = {}
        self.is_object = isinstance(value, dict)
        if not isinstance(value, dict):
            errors.append(FieldError(place, "must be an object", "type"))
            return
        self._members = value
        for name in sorted(value) if known is not None else ():
            if known is not None and name not in known:
                self.refuse(f"is not known here. {nearest(name, known)}", name, code="unknown_field")

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def names(self) -> list[str]:
        """Return the names of the members, sorted, since JSON objects have no order."""
        return sorted(self._members)

    def pointer(self, *names: str | int) -> str:
        return pointer_to(self.place, *names)

    def refuse(self, detail: str, *names: str | int, code: str = "invalid") -> None:
        self._errors.append(FieldError(self.pointer(*names), detail, code))

    def raw(self, name: str) -> Any:
        return self._members.get(name)

    def text(self, name: str, *, required: bool = False) -> str | None:
        """Return a non-empty string."""
        if name not in self._members:
            if required and self.is_object:
                self.refuse("is required", name, code="required")
            return None
        value = self._members[name]
        if not isinstance(value, str) or not value:
            self.refuse("must be a string that is not empty", name, code="type")
            return None
        return value

    def choice(self, name: str, options: Collection[str], *, required: bool = False) -> str | None:
        """Return one of `options`."""
        value = self.text(name, required=required)
        if value is not None and value not in options:
            self.refuse(f"{value[:60]!r} is not possible. {nearest(value, options)}", name)
            return None
        return value

    def flag(self, name: str, default: bool) -> bool:  # noqa: FBT001 - the default follows the name
        value = self._members.get(name, default)
        if not isinstance(value, bool):
            self.refuse("must be true or false", name, code="type")
            return default
        return value

    def whole_number(self, name: str, default: int, *, lowest: int, highest: int) -> int:
        value = self._members.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            self.refuse(f"must be a whole number from {lowest} to {highest}", name)
            return default
        return value

    def seconds(self, name: str, default: float, *, highest: float) -> float:
        """Return a duration in seconds, written as a number or as ISO 8601 text such as `PT30S`."""
        if name not in self._members:
            return default
        value = _as_seconds(self._members[name])
        if value is None or not 0 < value <= highest:
            self.refuse(f"must be a number of seconds or ISO 8601 (PT30S), above 0, at most {highest:g} s", name)
            return default
        return value

    def retry(self, name: str, default: RetryPolicy) -> RetryPolicy:
        """Return `{attempts, backoff, max_backoff, deadline}`. Missing members come from `default`."""
        if name not in self._members:
            return default
        inner = self.object(name, known=("attempts", "backoff", "max_backoff", "deadline"))
        return RetryPolicy(
            attempts=inner.whole_number("attempts", default.attempts, lowest=1, highest=20),
            backoff_s=inner.seconds("backoff", default.backoff_s, highest=3600),
            max_backoff_s=inner.seconds("max_backoff", default.max_backoff_s, highest=86400),
            deadline_s=inner.seconds("deadline", default.deadline_s, highest=30 * 86400),
        )

    def object(self, name: str, *, known: Collection[str] | None = None) -> Fields:
        """Return the fields of an inner object, without members if it is absent."""
        return Fields(self._members.get(name, {}), self.pointer(name), self._errors, known=known)

    def template(self, name: str, place: Place = Place.VALUE) -> Template:
        """Return the compiled template of a member."""
        try:
            return compile_template(self._members[name], pointer=self.pointer(name), place=place)
        except DocumentInvalid as error:
            self._errors.extend(error.errors)
            return Template(None)


def nearest(name: str, known: Collection[str]) -> str:
    """Return a hint with the most similar known name, or with all known names."""
    by_lower = {option.lower(): option for option in sorted(known)}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"Did you mean {by_lower[close[0]]}?" if close else f"Known here: {', '.join(sorted(known))}."


def _as_seconds(value: Any) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    parts = {unit: amount for unit, amount in match.groupdict().items() if amount} if match else {}
    return sum(float(amount) * _SECONDS[unit] for unit, amount in parts.items()) if parts else None
