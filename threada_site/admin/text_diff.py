"""Two-column text diff by line, with changed words marked. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, Literal

from threada_site.kernel.differences import BoundedMatcher, Steps

AROUND: Final = 3
"""Context lines before and after each difference."""
_WORDS: Final = re.compile(r"\w+|\s+|[^\w\s]")
_LIKE_ENOUGH: Final = 0.4

type Part = tuple[str, bool]
"""A piece of a line, and True if it differs from the other side."""


@dataclass(frozen=True, slots=True)
class Side:
    """One line of one column."""

    number: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the diff. `kind` is `same`, `changed`, `removed`, `added`, or `gap` for omitted lines."""

    kind: Literal["same", "changed", "removed", "added", "gap"]
    before: Side | None = None
    after: Side | None = None
    left_out: int = 0


def diff_rows(before: str, after: str, *, around: int | None = AROUND) -> list[Row]:
    """Return the rows of the diff, none for equal texts. If `around` is None, no lines are omitted."""
    old, new = before.splitlines(), after.splitlines()
    if old == new and around is not None:
        return []
    rows = list(_rows(old, new))
    return rows if around is None else _folded(rows, around)


def _rows(old: list[str], new: list[str]) -> Iterator[Row]:
    steps = Steps()
    matcher = BoundedMatcher(old, new, steps)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            for offset in range(i2 - i1):
                plain = ((old[i1 + offset], False),)
                yield Row("same", Side(i1 + offset + 1, plain), Side(j1 + offset + 1, plain))
            continue
        for left, right in zip_longest(range(i1, i2), range(j1, j2)):
            yield _differing(old, left, new, right, steps)


def _differing(old: list[str], left: int | None, new: list[str], right: int | None, steps: Steps) -> Row:
    if left is None:
        assert right is not None  # noqa: S101 - zip_longest leaves at least one
        return Row("added", None, Side(right + 1, ((new[right], True),)))
    if right is None:
        return Row("removed", Side(left + 1, ((old[left], True),)), None)
    before, after = _marked(old[left], new[right], steps)
    return Row("changed", Side(left + 1, before), Side(right + 1, after))


def _marked(old: str, new: str, steps: Steps) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    words, others = _WORDS.findall(old), _WORDS.findall(new)
    matcher = BoundedMatcher(words, others, steps)
    if matcher.ratio() < _LIKE_ENOUGH:
        return ((old, True),), ((new, True),)
    before: list[Part] = []
    after: list[Part] = []
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        differs = tag != "equal"
        for found, piece in ((before, "".join(words[i1:i2])), (after, "".join(others[j1:j2]))):
            if piece:
                found.append((piece, differs))
    return tuple(before), tuple(after)


def _folded(rows: list[Row], around: int) -> list[Row]:
    shown = {
        near
        for place, row in enumerate(rows)
        if row.kind != "same"
        for near in range(place - around, place + around + 1)
    }
    found: list[Row] = []
    left_out = 0
    for place, row in enumerate(rows):
        if place in shown:
            if left_out:
                found.append(Row("gap", left_out=left_out))
                left_out = 0
            found.append(row)
        else:
            left_out += 1
    return [*found, Row("gap", left_out=left_out)] if left_out else found
