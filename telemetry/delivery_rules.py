"""When a delivery that failed is tried again, and when it pauses itself. Pure: the random source is handed in."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

TARGETS: Final = ("webhook", "file", "otlp")
"""The kinds of places that a delivery goes to."""
PERMANENT_FAILURES: Final = frozenset(
    {"rejected_by_receiver", "blocked_address", "credential_unavailable", "export_target_unavailable"}
)
"""Failures that time alone seldom mends: they are tried a few times only."""
MAX_REFUSED_ATTEMPTS: Final = 4
MAX_WAIT_S: Final = 300.0
MAX_RETRY_AFTER_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """One try that the receiver took. `rejected`: how many of the batch's receipts it took and threw away, of its own
    accord; `detail` is what it says about that. `file_size`: of a file, how long it is now."""

    rejected: int = 0
    detail: str = ""
    file_size: int = 0


@dataclass(frozen=True, slots=True)
class DeliveryFailure:
    """One failed try. `failure` is a reason code; `is_final`: the receiver says that it wants no more (410)."""

    failure: str
    detail: str
    retry_after_s: float | None = None
    is_final: bool = False


def retry_delay(failure: DeliveryFailure, *, attempts: int, most: int, rng: random.Random) -> float | None:
    """Seconds until the next try after `attempts` failed ones, this one included; None: pause, a person must look.

    Doubles from one second to five minutes, with jitter, on top of what the receiver asks for.
    """
    if failure.is_final or attempts >= (
        min(MAX_REFUSED_ATTEMPTS, most) if failure.failure in PERMANENT_FAILURES else most
    ):
        return None
    ceiling = min(MAX_WAIT_S, 2.0 ** min(attempts - 1, 30))
    asked = min(max(failure.retry_after_s or 0.0, 0.0), MAX_RETRY_AFTER_S)
    return asked + rng.uniform(ceiling / 2, ceiling)
