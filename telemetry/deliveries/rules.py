"""Rules of a failed delivery: delay before the next attempt, and when the delivery pauses itself. Pure; the random
source is an argument."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

TARGETS: Final = ("webhook", "file", "otlp")
"""Kinds of delivery targets."""
PURPOSES: Final = ("scheduled", "test", "resend")
"""Purposes of an attempt. Scheduled ones are in the order of the log; the others were requested."""
OPEN_ATTEMPTS: Final = ("queued", "running")
ATTEMPT_STATUSES: Final = (*OPEN_ATTEMPTS, "delivered", "failed")
PERMANENT_FAILURES: Final = frozenset(
    {"rejected_by_receiver", "blocked_address", "credential_unavailable", "export_target_unavailable"}
)
"""Failures that rarely disappear without a change. They are retried a few times only."""
MAX_REFUSED_ATTEMPTS: Final = 4
MAX_WAIT_S: Final = 300.0
MAX_RETRY_AFTER_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """One attempt that the receiver accepted.

    `rejected` counts receipts of the batch that the receiver accepted and then discarded; `detail` is its explanation.
    `file_size` is the size of the file after the attempt, for file targets.
    """

    rejected: int = 0
    detail: str = ""
    file_size: int = 0


@dataclass(frozen=True, slots=True)
class DeliveryFailure:
    """One failed attempt.

    `failure` is a reason code; `is_final` is True if the receiver wants no more messages (410).
    """

    failure: str
    detail: str
    retry_after_s: float | None = None
    is_final: bool = False


def retry_delay(failure: DeliveryFailure, *, attempts: int, most: int, rng: random.Random) -> float | None:
    """Return the seconds until the next attempt after `attempts` failed ones, or None to pause the delivery.

    `attempts` includes the current one. The delay doubles from one second to five minutes, with jitter, in addition to
    the Retry-After of the receiver.
    """
    if failure.is_final or attempts >= (
        min(MAX_REFUSED_ATTEMPTS, most) if failure.failure in PERMANENT_FAILURES else most
    ):
        return None
    ceiling = min(MAX_WAIT_S, 2.0 ** min(attempts - 1, 30))
    asked = min(max(failure.retry_after_s or 0.0, 0.0), MAX_RETRY_AFTER_S)
    return asked + rng.uniform(ceiling / 2, ceiling)
