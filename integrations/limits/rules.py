"""Limits of an integration: concurrency, rate and circuit breaker. Pure.

A rate holds for every window of its length: of any `calls` + 1 calls, the last begins at least `per_s` after the first.
The breaker opens after a number of consecutive failures caused by the receiver. After its rest time one call is
allowed, and its result closes or reopens the breaker.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from integrations.attempts.failures import FailureClass
from integrations.documents.model import Limits


class WaitReason(StrEnum):
    """Reason why an execution is not dispatched yet."""

    CONCURRENCY = "concurrency"
    RATE = "rate"
    BREAKER = "breaker"


_RECEIVER_FAULTS: Final = frozenset({FailureClass.TIMEOUT, FailureClass.CONNECTION_REFUSED, FailureClass.BAD_RESPONSE})
_RECEIVER_ANSWERED: Final = frozenset({FailureClass.REJECTED_BY_RECEIVER, FailureClass.RECEIVER_RATE_LIMITED})


def receiver_is_healthy(failure: FailureClass | None) -> bool | None:
    """Return True or False if the attempt shows that the receiver is healthy or not, None if it shows neither."""
    if failure is None or failure in _RECEIVER_ANSWERED:
        return True
    return False if failure in _RECEIVER_FAULTS else None


def calls_within(begun: Sequence[datetime], limits: Limits, *, now: datetime) -> list[datetime]:
    """Return the calls in the window that ends at `now`, the oldest first."""
    return sorted(at for at in begun if at > now - timedelta(seconds=limits.per_s))


def rate_opens_at(within: Sequence[datetime], limits: Limits) -> datetime | None:
    """Return the earliest time of the next call, given the calls `within` the window; None if it may start
    immediately."""
    if limits.calls is None or len(within) < limits.calls:
        return None
    return within[-limits.calls] + timedelta(seconds=limits.per_s)
