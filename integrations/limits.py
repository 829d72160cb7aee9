"""How much an integration is asked at once and over time, and when it is left alone for a while. Pure.

A rate is exact over every window of its length: of any `calls` + 1 calls, the last begins `per_s` after the first. The
breaker opens after so many failures in a row that are the receiver's; after its rest one call is let through, and what
comes of that one decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from integrations.attempt_failures import FailureClass


class WaitReason(StrEnum):
    """Why an execution waits for its turn."""

    CONCURRENCY = "concurrency"
    RATE = "rate"
    BREAKER = "breaker"


@dataclass(frozen=True, slots=True)
class Limits:
    """`concurrency` calls side by side, `calls` begun within `per_s` seconds; None: as many as there are workers for.
    The breaker opens after `failures` in a row and rests `backoff_s`."""

    concurrency: int | None = None
    calls: int | None = None
    per_s: float = 1.0
    failures: int = 10
    backoff_s: float = 30.0

    @property
    def are_unbounded(self) -> bool:
        """Whether neither number nor rate of calls is bounded."""
        return self.concurrency is None and self.calls is None


UNBOUNDED: Final = Limits()
_RECEIVER_FAULTS: Final = frozenset({FailureClass.TIMEOUT, FailureClass.CONNECTION_REFUSED, FailureClass.BAD_RESPONSE})
_RECEIVER_ANSWERED: Final = frozenset({FailureClass.REJECTED_BY_RECEIVER, FailureClass.RATE_LIMITED})


def receiver_is_healthy(failure: FailureClass | None) -> bool | None:
    """What an attempt tells of the receiver: it is well, it is ill, or (None) nothing."""
    if failure is None or failure in _RECEIVER_ANSWERED:
        return True
    return False if failure in _RECEIVER_FAULTS else None


def calls_within(begun: Sequence[datetime], limits: Limits, *, now: datetime) -> list[datetime]:
    """The calls of the window that ends at `now`, the oldest first."""
    return sorted(at for at in begun if at > now - timedelta(seconds=limits.per_s))


def rate_opens_at(within: Sequence[datetime], limits: Limits) -> datetime | None:
    """When the next call may begin, of the calls `within` the window; None: at once."""
    if limits.calls is None or len(within) < limits.calls:
        return None
    return within[-limits.calls] + timedelta(seconds=limits.per_s)
