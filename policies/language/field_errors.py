"""Collected validation errors of a document, each with its JSON pointer and a suggestion for unknown names."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any, Final

from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.pointers import pointer_to

MAX_FIELD_ERRORS: Final = 50


class FieldErrors:
    """The errors found so far, at most 50."""

    def __init__(self) -> None:
        self.found: list[FieldError] = []

    def add(
        self, pointer: str, detail: str, code: str = "invalid", *, line: int | None = None, column: int | None = None
    ) -> None:
        if len(self.found) < MAX_FIELD_ERRORS:
            self.found.append(FieldError(pointer, detail, code, line, column))

    def known_fields(self, value: Mapping[str, Any], fields: Collection[str], pointer: str) -> None:
        """Add an error for every key of `value` that is not in `fields`."""
        for name in value:
            if name not in fields:
                self.add(
                    pointer_to(pointer, name),
                    f"There is no field {name[:40]!r} here.{suggestion(name, fields)}",
                    "unknown_field",
                )

    def one_of(self, name: Any, choices: Collection[str], pointer: str, noun: str) -> bool:
        """Return True if `name` is one of `choices`; otherwise add an error and return False."""
        if isinstance(name, str) and name in choices:
            return True
        self.add(pointer, f"{str(name)[:40]!r} is no {noun}.{suggestion(name, choices)}")
        return False


def suggestion(name: Any, known: Collection[str]) -> str:
    """Return a sentence, with a leading space, that suggests the closest known name, or all names if none is close."""
    nearest = difflib.get_close_matches(str(name)[:80], known, n=1, cutoff=0.5)
    return f" Did you mean {nearest[0]}?" if nearest else f" Use one of {', '.join(known)}."
