"""Differences of lists of texts within a bound of time. Pure.

`difflib` takes hours for some texts of a mebibyte, such as ones that repeat a hundred lines in another order.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from difflib import Match
from itertools import accumulate, takewhile
from typing import Final

MOST_STEPS: Final = 5_000_000
"""Comparisons of one difference; about a second."""


class Steps:
    """Comparisons that are left, of one difference or of several that are made together."""

    def __init__(self, most: int = MOST_STEPS) -> None:
        self.left = most


class BoundedMatcher(difflib.SequenceMatcher[str]):
    """A `SequenceMatcher` that finds no further matches when its steps are used up: what is left differs."""

    def __init__(self, old: Sequence[str], new: Sequence[str], steps: Steps | None = None) -> None:
        super().__init__(None, old, new, autojunk=False)
        self._old, self._new, self._steps = old, new, steps or Steps()
        places: dict[str, list[int]] = self.b2j  # type: ignore[attr-defined]
        self._cost = [0, *accumulate(1 + len(places.get(text, ())) for text in old)]

    def find_longest_match(self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None) -> Match:
        end = len(self._old) if ahi is None else ahi
        self._steps.left -= self._cost[end] - self._cost[alo]
        if self._steps.left < 0:
            return Match(alo, blo, 0)
        return super().find_longest_match(alo, ahi, blo, bhi)

    def get_matching_blocks(self) -> list[Match]:
        """Return the matching blocks. Of lists that are too large to compare, the equal beginning and end at least."""
        if self.matching_blocks is None and self._cost[-1] > self._steps.left:  # type: ignore[has-type]
            self.matching_blocks = self._without_equal_ends()
        return super().get_matching_blocks()

    def _without_equal_ends(self) -> list[Match] | None:
        old, new = self._old, self._new
        first = _equal(old, new)
        last = _equal(old[first:][::-1], new[first:][::-1])
        if not first and not last:
            return None
        between = BoundedMatcher(old[first : len(old) - last], new[first : len(new) - last], self._steps)
        blocks = [Match(first + i, first + j, size) for i, j, size in between.get_matching_blocks() if size]
        ends = [Match(0, 0, first), *blocks, Match(len(old) - last, len(new) - last, last)]
        return [*(block for block in ends if block.size), Match(len(old), len(new), 0)]


def unified(old: Sequence[str], new: Sequence[str], before: str, after: str, *, around: int = 3) -> Iterator[str]:
    """Yield the lines of a unified difference of lines that end with a line feed."""
    groups = BoundedMatcher(old, new).get_grouped_opcodes(around)
    for number, group in enumerate(groups):
        if not number:
            yield from (f"--- {before}\n", f"+++ {after}\n")
        left, right = _range(group[0][1], group[-1][2]), _range(group[0][3], group[-1][4])
        yield f"@@ -{left} +{right} @@\n"
        for kind, i1, i2, j1, j2 in group:
            if kind == "equal":
                yield from (f" {line}" for line in old[i1:i2])
                continue
            yield from (f"-{line}" for line in old[i1:i2])
            yield from (f"+{line}" for line in new[j1:j2])


def _range(start: int, stop: int) -> str:
    """Return lines as a unified difference names them: the first and their number."""
    length = stop - start
    if length == 1:
        return f"{start + 1}"
    return f"{start + 1 if length else start},{length}"


def _equal(one: Sequence[str], other: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
