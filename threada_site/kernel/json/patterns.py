"""Cost of regular expressions in a JSON Schema of a tenant: compiled size, and time for each character of a text.

The engine matches in linear time. A small pattern takes some nanoseconds for each character, a large one up to 4 µs.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import jsonschema_rs

MAX_PATTERN_BYTES: Final = 64 * 1024
"""Compiled size of one pattern."""
MAX_TOGETHER: Final = 4 * 1024 * 1024
"""Compiled size of all patterns of a schema."""
OPTIONS: Final = jsonschema_rs.RegexOptions(size_limit=MAX_PATTERN_BYTES)
"""Linear time: look-around and back-references are refused."""
_DRAFT: Final = jsonschema_rs.Draft202012Validator


class PatternCost(NamedTuple):
    """Compiled size in bytes, rounded up, and the time for ten characters in units of 0.1 µs."""

    size: int
    per_ten_characters: int


_CLASSES: Final = (
    PatternCost(1024, 1),
    PatternCost(2048, 20),
    PatternCost(4096, 150),
    PatternCost(MAX_PATTERN_BYTES, 400),
)
"""Measured with `[ab]*a[ab]{300}c` and the like, which make the engine follow many alternatives at once."""


@functools.lru_cache(maxsize=4096)
def cost_of_pattern(pattern: str) -> PatternCost:
    """Return the cost of a pattern. One that the engine refuses costs most; the check of the schema reports it."""
    for found in _CLASSES[:-1]:
        try:
            _DRAFT({"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions(size_limit=found.size))
        except jsonschema_rs.ValidationError:
            continue
        return found
    return _CLASSES[-1]


def fit_together(schema: Any) -> bool:
    """Return True if all patterns in a schema have at most `MAX_TOGETHER` bytes."""
    left = MAX_TOGETHER
    for pattern in _patterns(schema):
        left -= cost_of_pattern(pattern).size
        if left < 0:
            return False
    return True


def _patterns(schema: Any) -> Iterator[str]:
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if isinstance(node.get("pattern"), str):
                yield node["pattern"]
            if isinstance(node.get("patternProperties"), dict):
                yield from node["patternProperties"]
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
