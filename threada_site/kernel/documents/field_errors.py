"""Collected validation errors of a document, each with its JSON pointer and a suggestion for unknown names."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import Any, Final

from threada_site.kernel.errors import DocumentInvalid, FieldError, ThreadaError

MAX_FIELD_ERRORS: Final = 50
_HIDING: Final = frozenset({"wrong_type", "too_large", "unknown_field"})
"""Codes of errors that make everything below them unusable."""


class FieldErrors:
    """The errors found so far, at most 50. Checks skip fields that already have an error (`is_clean`)."""

    def __init__(self, found: Iterable[FieldError] = ()) -> None:
        self.found: list[FieldError] = list(found)[:MAX_FIELD_ERRORS]

    def add(
        self, pointer: str, detail: str, code: str = "invalid", *, line: int | None = None, column: int | None = None
    ) -> None:
        if not self.is_full:
            self.found.append(FieldError(pointer, detail, code, line, column))

    def extend(self, errors: Iterable[FieldError]) -> None:
        for error in errors:
            self.add(error.pointer, error.detail, error.code, line=error.line, column=error.column)

    @property
    def is_full(self) -> bool:
        """Return True once the maximum number of errors is reached; further checks are a waste of time."""
        return len(self.found) >= MAX_FIELD_ERRORS

    def is_clean(self, pointer: str) -> bool:
        """Return True if there is no error at `pointer` or below it, and none that makes its object or list unusable.

        A required field can be missing nevertheless, if its object has a misspelt one.
        """
        below = f"{pointer}/"
        return not any(
            error.pointer == pointer
            or error.pointer.startswith(below)
            or (error.code in _HIDING and pointer.startswith(f"{error.pointer}/"))
            for error in self.found
        )

    def names_are_known(self, pointer: str) -> bool:
        """Return True if the object at `pointer` has no unknown field, which may be a misspelt one that is missing."""
        return not any(
            error.code == "unknown_field" and error.pointer.rpartition("/")[0] == pointer for error in self.found
        )

    def raise_any(self, kind: type[ThreadaError] = DocumentInvalid, *, value: Any = None, pointer: str = "") -> None:
        """Raise `kind` if there are errors, in the order of their places in `value`, which is at `pointer`."""
        if self.found:
            raise kind(errors=sorted(self.found, key=lambda error: _position(error.pointer, pointer, value)))


def _position(pointer: str, base: str, value: Any) -> tuple[int, ...]:
    """Return the position of each token of `pointer` in its object or list. Missing members come last."""
    positions: list[int] = []
    for token in pointer.removeprefix(base).split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            positions.append(int(name))
            value = value[int(name)]
        elif isinstance(value, dict) and name in value:
            positions.append(list(value).index(name))
            value = value[name]
        else:
            return (*positions, len(value) if isinstance(value, dict | list) else 0)
    return tuple(positions)


def nearest(name: Any, known: Collection[str]) -> str | None:
    """Return the known name that is closest to `name`, or None if none is close. Upper and lower case are equal."""
    by_lower = {option.lower(): option for option in known}
    close = difflib.get_close_matches(str(name)[:80].lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[close[0]] if close else None


def suggestion(name: Any, known: Collection[str]) -> str:
    """Return a sentence, with a leading space, that suggests the closest known name, or all names if none is close."""
    close = nearest(name, known)
    return f" Did you mean {close}?" if close else f" Use one of {', '.join(known)}."
