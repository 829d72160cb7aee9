"""Hypothesis profiles: few examples in the default run, half of all in `.ci/run`, ten times all at night.

THREADA_EXAMPLES chooses: `few` (the default), `half`, `all` or `many`.
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import settings

FEW: Final = 25
ALL: Final = 100
"""For tests that name no number."""
_TIMES: Final = {"few": 0.0, "half": 0.5, "all": 1.0, "many": 10.0}
CHOSEN: Final = os.environ.get("THREADA_EXAMPLES") or "few"


def examples(count: int) -> int:
    """Return the number of examples of a test that needs `count`: at most 25 in the default run."""
    return max(int(_TIMES[CHOSEN] * count), min(count, FEW))


def long_run(at_night: int) -> int:
    """Return the number of cases of a long comparison: `at_night` if examples are `many`, otherwise a fifth."""
    return at_night if CHOSEN == "many" else at_night // 5


def load_profile() -> None:
    """Make the chosen profile the default of all property tests.

    The default run uses the same examples each time, so that it does not fail for unrelated changes.
    """
    derandomize = CHOSEN == "few"
    database = None if derandomize else settings.default.database
    settings.register_profile(
        "threada",
        max_examples=examples(ALL),
        deadline=None,
        print_blob=True,
        derandomize=derandomize,
        database=database,
    )
    settings.load_profile("threada")
