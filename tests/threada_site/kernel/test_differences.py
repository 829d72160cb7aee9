"""Differences of ordinary texts, and of texts that are made to take long."""

from __future__ import annotations

import difflib
import random
from time import thread_time

from threada_site.admin.text_diff import diff_rows
from threada_site.kernel.differences import BoundedMatcher, Steps, unified
from threada_site.kernel.documents.patch import patched
from threada_site.kernel.documents.writer import write_document
from workitems.configuration.kinds.base import diff

LINES = 20_000
LONGEST_S = 15
"""Far above what the differences take, and far below the minutes and hours without a bound."""


def applied(old: list[str], new: list[str], steps: Steps | None = None) -> list[str]:
    """Return the new lines as the opcodes make them out of the old ones."""
    made: list[str] = []
    for kind, i1, i2, j1, j2 in BoundedMatcher(old, new, steps).get_opcodes():
        made += old[i1:i2] if kind == "equal" else new[j1:j2]
    return made


def test_differences_are_those_of_difflib() -> None:
    drawn = random.Random(11)
    for _ in range(200):
        old = [f"{drawn.randrange(8)}\n" for _ in range(drawn.randrange(20))]
        new = [line for line in old if drawn.random() < 0.8] + ["new\n"] * drawn.randrange(2)
        known = difflib.SequenceMatcher(None, old, new, autojunk=False)
        assert BoundedMatcher(old, new).get_opcodes() == known.get_opcodes()
        assert list(unified(old, new, "a", "b")) == list(difflib.unified_diff(old, new, "a", "b"))
        for left in (0, 5, 40):
            assert applied(old, new, Steps(left)) == new


def test_equal_ends_of_large_texts_stay_equal() -> None:
    old = ["same\n"] * 5_000
    new = [*old[:3_000], "new\n", *old[3_000:]]
    assert BoundedMatcher(old, new).get_opcodes() == [
        ("equal", 0, 3_000, 0, 3_000),
        ("insert", 3_000, 3_000, 3_000, 3_001),
        ("equal", 3_000, 5_000, 3_001, 5_001),
    ]


def test_no_text_takes_minutes() -> None:
    drawn = random.Random(11)
    repeated = [drawn.randrange(101) for _ in range(LINES)]
    mixed = [drawn.randrange(101) for _ in range(LINES)]
    names = {f"name{number}": number for number in range(LINES // 10)}
    renamed = {f"other{number}": -number for number in range(LINES // 10)}
    before = thread_time()
    assert diff({"examples": repeated}, {"examples": mixed}).startswith("--- in force\n+++ document\n")
    assert diff_rows("\n".join(map(str, repeated)), "\n".join(map(str, mixed)))
    assert diff_rows(" ".join(map(str, repeated)), " ".join(map(str, mixed)))[0].kind == "changed"
    assert patched(write_document({"a": repeated}), {"a": mixed}) == write_document({"a": mixed})
    assert patched(write_document(names), renamed) == write_document(renamed)
    assert thread_time() - before < LONGEST_S
