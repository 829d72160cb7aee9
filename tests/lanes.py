"""Lanes of `.ci/run` that choose tests by a mark: which files they read, and in which order they run them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

LONGEST_FIRST: Final = ("adversarial", "slow")
"""Marks of tests with processes and with many cases. Those without one, property tests, take seconds."""
_BY_THEMSELVES: Final = "tests/adversarial/"


def chosen_marks(expression: str) -> frozenset[str]:
    """Return the marks of which a test needs one to match the expression of `-m`; none if a test may need no mark."""
    without_exclusions = re.sub(r"\band not \w+", "", expression)
    names = re.findall(r"\w+", without_exclusions)
    return frozenset() if "not" in names else frozenset(names) - {"and", "or"}


def may_have_one(path: Path, marks: frozenset[str]) -> bool:
    """Return False if the test file uses none of the marks: reading all files takes 15 s of each process.

    Hypothesis itself marks what it tests.
    """
    text = path.read_text()
    return any(("hypothesis" if mark == "hypothesis" else f"mark.{mark}") in text for mark in marks)


def long_modules_first(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the tests with those of long modules first, so that no process begins one when the others end."""
    ranks: dict[Path, int] = {}
    for item in items:
        ranks[item.path] = min(ranks.get(item.path, 9), _rank(item))
    return sorted(items, key=lambda item: (ranks[item.path], str(item.path)))


def _rank(item: pytest.Item) -> int:
    if item.nodeid.startswith(_BY_THEMSELVES):
        return 0
    found = (place for place, mark in enumerate(LONGEST_FIRST, start=1) if item.get_closest_marker(mark))
    return next(found, len(LONGEST_FIRST) + 1)
