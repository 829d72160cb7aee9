"""The order of tests, in which two processes build each prepared content once."""

from __future__ import annotations

from typing import Final

import pytest

from tests.databases.contents import CONTENTS
from tests.databases.process import COMMITTED, content_of, uses_database

_FIRST_HALF: Final = ("world", "own", "")
_SECOND_HALF: Final = (*(name for name in CONTENTS if name not in _FIRST_HALF), COMMITTED)


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the tests of each database together, in two halves that end with tests without a database.

    `--dist worksteal` gives each of two processes one half; the one that is ready first takes tests from the end of
    the other's.
    """
    groups: dict[str, list[pytest.Item]] = {name: [] for name in (*_FIRST_HALF, *_SECOND_HALF)}
    others: list[pytest.Item] = []
    for item in items:
        (groups[content_of(item)] if uses_database(item) else others).append(item)
    first, second = ([item for name in half for item in groups[name]] for half in (_FIRST_HALF, _SECOND_HALF))
    missing = max(0, len(items) // 2 - len(first))
    return [*first, *others[:missing], *second, *others[missing:]]
