"""What is wrong with a document: every problem at once, at its place, with the nearest name that is known."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any, Final

from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.pointers import pointer_to

MAX_FIELD_ERRORS: Final = 50


class FieldErrors:
    """The problems found so far, at most 50."""

    def __init__(self) -> None:
        self.found: list[FieldError] = []

    def add(
        self, pointer: str, detail: str, code: str = "invalid", *, line: int | None = None, column: int | None = None
    ) -> None:
        if len(self.found) < MAX_FIELD_ERRORS:
            self.found.append(FieldError(pointer, detail, code, line, column))

    def known_fields(self, value: Mapping[str, Any], fields: Collection[str], pointer: str) -> None:
        """Name every field of an object that is not among `fields`."""
        for name in value:
            if name not in fields:
                self.add(
                    pointer_to(pointer, name),
                    f"There is no field {name[:40]!r} here.{suggestion(name, fields)}",
                    "unknown_field",
                )

    def one_of(self, name: Any, choices: Collection[str], pointer: str, noun: str) -> bool:
        """Whether `name` is one of `choices`; named as a problem when it is not."""
        if isinstance(name, str) and name in choices:
            return True
        self.add(pointer, f"{str(name)[:40]!r} is no {noun}.{suggestion(name, choices)}")
        return False


def suggestion(name: Any, known: Collection[str]) -> str:
    """The nearest known name as a sentence with a leading space; all of them when none is near."""
    nearest = difflib.get_close_matches(str(name)[:80], known, n=1, cutoff=0.5)
    return f" Did you mean {nearest[0]}?" if nearest else f" Use one of {', '.join(known)}."
