"""Values of a form as a person typed them, by JSON pointer. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from threada_site.kernel.json.pointers import pointer_to

PREFIX: Final = "p"
"""Prefix of the names of fields: `p/vendor` is the field at `/vendor`. Other names belong to the form itself."""
ROW: Final = "_row"
SHOWN: Final = "_shown"
MAX_ENTRIES: Final = 2_000
"""Entries of one form that are read."""
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,3}")


class Sent(Protocol):
    """Fields of a form, as `QueryDict` contains them."""

    def lists(self) -> Iterable[tuple[Any, list[Any]]]: ...


@dataclass(frozen=True, slots=True)
class Entered:
    """Typed texts by pointer, pointers of the rows of lists, and pointers of all fields that the form showed.

    A field that is not shown yet has its default; one that was shown has what was typed, also if that is nothing.
    """

    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rows: frozenset[str] = frozenset()
    shown: frozenset[str] = frozenset()

    def was_shown(self, pointer: str) -> bool:
        return pointer in self.texts or pointer in self.shown

    def text(self, pointer: str) -> str:
        """Return the last text at `pointer`, or an empty one."""
        found = self.texts.get(pointer, ())
        return found[-1] if found else ""

    def texts_at(self, pointer: str) -> tuple[str, ...]:
        return self.texts.get(pointer, ())

    def rows_of(self, pointer: str) -> int:
        """Return the number of rows of the list at `pointer`."""
        depth = pointer.count("/") + 1
        below = f"{pointer}/"
        found = [row for row in self.rows if row.startswith(below) and row.count("/") == depth]
        places = [int(row[len(below) :]) for row in found if _INDEX.fullmatch(row[len(below) :])]
        return max(places) + 1 if places else 0

    def with_row(self, pointer: str, *, most: int) -> Entered:
        """Add an empty row to the list at `pointer`, unless it has `most` rows."""
        count = self.rows_of(pointer)
        if count >= most:
            return self
        return Entered(self.texts, self.rows | {f"{pointer}/{count}"}, self.shown | {pointer})

    def without_row(self, row: str) -> Entered:
        """Remove a row. Rows behind it move up."""
        pointer, _, last = row.rpartition("/")
        if row not in self.rows or not _INDEX.fullmatch(last):
            return self

        def moved(place: str) -> str | None:
            """Return the new pointer of something in the list; None for what is removed."""
            rest = place.removeprefix(f"{pointer}/") if place.startswith(f"{pointer}/") else ""
            index, slash, below = rest.partition("/")
            if not _INDEX.fullmatch(index) or int(index) < int(last):
                return place
            return None if int(index) == int(last) else f"{pointer}/{int(index) - 1}{slash}{below}"

        kept = {moved(place): texts for place, texts in self.texts.items()}
        return Entered(
            {place: texts for place, texts in kept.items() if place is not None},
            frozenset(place for one in self.rows if (place := moved(one)) is not None),
            frozenset(place for one in self.shown if (place := moved(one)) is not None),
        )

    def with_texts(self, texts: Mapping[str, str]) -> Entered:
        """Replace the texts at some pointers."""
        added = {pointer: (text,) for pointer, text in texts.items()}
        return Entered({**self.texts, **added}, self.rows, self.shown | set(added))

    def as_json(self) -> dict[str, Any]:
        """Return the form that a draft stores."""
        return {
            "texts": {pointer: list(texts) for pointer, texts in self.texts.items()},
            "rows": sorted(self.rows),
            "shown": sorted(self.shown),
        }


def entered_from(sent: Sent) -> Entered:
    """Read the fields of a sent form."""
    texts: dict[str, tuple[str, ...]] = {}
    marks: dict[str, frozenset[str]] = {ROW: frozenset(), SHOWN: frozenset()}
    for count, (name, values) in enumerate(sent.lists()):
        if count >= MAX_ENTRIES:
            break
        if name in marks:
            marks[name] = frozenset(str(value) for value in values[:MAX_ENTRIES])
        elif name == PREFIX or name.startswith(f"{PREFIX}/"):
            texts[name[len(PREFIX) :]] = tuple(str(value) for value in values[:MAX_ENTRIES])
    return Entered(texts, marks[ROW], marks[SHOWN])


def entered_from_json(stored: Mapping[str, Any]) -> Entered:
    """Return what a draft stored."""
    texts = {pointer: tuple(values) for pointer, values in stored.get("texts", {}).items()}
    return Entered(texts, frozenset(stored.get("rows", ())), frozenset(stored.get("shown", ())))


def pointers_of(value: Any, pointer: str = "") -> Iterable[str]:
    """Yield the pointers of the scalars in a JSON value, and of empty objects and lists."""
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from pointers_of(child, pointer_to(pointer, key))
    elif isinstance(value, list) and value:
        for index, child in enumerate(value):
            yield from pointers_of(child, pointer_to(pointer, index))
    else:
        yield pointer
