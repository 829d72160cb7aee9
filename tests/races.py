"""Rounds of a race between two rivals, until each outcome has occurred."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

FEWEST: Final = 5
MOST: Final = 24


def rounds_until(seen: Collection[Any], outcomes: int = 2) -> Iterator[tuple[float, float]]:
    """Yield the pauses of both rivals for at least five rounds, and until `seen` holds that many outcomes.

    The first rounds start both at once; later ones give each in turn a longer head start.
    """
    for number in range(MOST):
        if number >= FEWEST and len(seen) >= outcomes:
            return
        lead = 0.0 if number < 2 else 0.02 * number
        yield (lead, 0.0) if number % 2 else (0.0, lead)
    assert len(seen) >= outcomes, f"only {seen} occurred in {MOST} rounds"


def after(pause_s: float, operation: Callable[[], Any]) -> Callable[[], Any]:
    """Return the operation, begun that much later."""

    def late() -> Any:
        time.sleep(pause_s)
        return operation()

    return late
