"""Two-column text diff by line, with changed words marked, and the path to lines whose parents are omitted. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final, Literal

from threada_site.kernel.differences import BoundedMatcher, Steps
from threada_site.kernel.json.pointers import dotted

AROUND: Final = 3
"""Context lines before and after each difference."""
_WORDS: Final = re.compile(r"\w+|\s+|[^\w\s]")
_LIKE_ENOUGH: Final = 0.4
_KEY: Final = re.compile(r'("(?:[^"\\]|\\.)*"|[^\s"#:][^:#]*?)\s*:(?:\s|$)')

type Part = tuple[str, bool]
"""A piece of a line, and True if it differs from the other side."""


@dataclass(frozen=True, slots=True)
class Side:
    """One line of one column."""

    number: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the diff. `kind` is `same`, `changed`, `removed`, `added`, or `gap` for omitted lines.

    `path` of a gap is the dotted path to the next line: its parents may be among the omitted lines.
    """

    kind: Literal["same", "changed", "removed", "added", "gap"]
    before: Side | None = None
    after: Side | None = None
    left_out: int = 0
    path: str = ""


def diff_rows(before: str, after: str, *, around: int | None = AROUND) -> list[Row]:
    """Return the rows of the diff, none for equal texts. If `around` is None, no lines are omitted."""
    old, new = before.splitlines(), after.splitlines()
    if old == new and around is not None:
        return []
    rows = list(_rows(old, new))
    return rows if around is None else _folded(rows, around, parents_of(old), parents_of(new))


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


def parents_of(lines: list[str]) -> list[str]:
    """Return for each line of a YAML document the dotted path of its parents, as the indentation tells them."""
    paths: list[str] = []
    open_parts: list[tuple[float, str, int]] = []  # indentation, path, place in its list
    for line in lines:
        text = line.lstrip(" ")
        indent: float = len(line) - len(text)
        if not text or text.startswith("#"):
            paths.append(open_parts[-1][1] if open_parts else "")
            continue
        is_first = True
        while True:
            is_item = text == "-" or text.startswith("- ")
            depth = indent + 0.5 if is_item else indent
            place = -1
            while open_parts and open_parts[-1][0] >= depth:
                closed = open_parts.pop()
                place = closed[2] if closed[0] == depth else -1
            parent = open_parts[-1][1] if open_parts else ""
            if is_first:
                paths.append(parent)
            if not is_item:
                break
            open_parts.append((depth, dotted(parent, place + 1), place + 1))
            rest = text[1:].lstrip(" ")
            indent, text, is_first = indent + len(text) - len(rest), rest, False
            if not text:
                break
        if text and (key := _KEY.match(text)):
            open_parts.append((indent, dotted(parent, _unquoted(key[1])), -1))
    return paths


def _unquoted(key: str) -> str:
    if not key.startswith('"'):
        return key
    try:
        return str(json.loads(key))
    except ValueError:
        return key


def _folded(rows: list[Row], around: int, old_parents: list[str], new_parents: list[str]) -> list[Row]:
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
                path = new_parents[row.after.number - 1] if row.after else ""
                path = old_parents[row.before.number - 1] if row.before and not row.after else path
                found.append(Row("gap", left_out=left_out, path=path))
                left_out = 0
            found.append(row)
        else:
            left_out += 1
    return [*found, Row("gap", left_out=left_out)] if left_out else found
