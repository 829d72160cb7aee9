"""Whether and when an attempt that failed is tried again. Pure: the random source is handed in.

The promise: where the receiver cannot deduplicate, an execution reaches it at most once, and what may have been acted
upon never ends as `failed` (but for the tenth worker that dies). Only a connection that never came about is tried again
for all.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from integrations.attempt_failures import FailureClass
from integrations.lifecycle import ExecutionStatus

MAX_WORKER_DEATHS: Final = 10
LONGEST_WAIT_S: Final = 3600.0

_TRIED_AGAIN_IF_IDEMPOTENT: Final = frozenset(
    {
        FailureClass.TIMEOUT,
        FailureClass.CONNECTION_REFUSED,
        FailureClass.RATE_LIMITED,
        FailureClass.BAD_RESPONSE,
        FailureClass.WORKER_LOST,
    }
)
_TRIED_AGAIN_IF_NOTHING_WAS_SENT: Final = frozenset(
    {FailureClass.CONNECTION_REFUSED, FailureClass.TIMEOUT, FailureClass.WORKER_LOST}
)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`attempts` in all, the first included; the n-th wait lies between nothing and `backoff_s` · 2^(n-1), at most
    `max_backoff_s`. No try begins later than `deadline_s` after the first."""

    attempts: int = 5
    backoff_s: float = 2.0
    max_backoff_s: float = 300.0
    deadline_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again in `after_s` seconds."""

    after_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nothing is tried any more; the execution is `failed` or `outcome_unknown`."""

    status: ExecutionStatus


def next_try(
    failure: FailureClass,
    *,
    ambiguous: bool,
    attempts: int,
    policy: RetryPolicy,
    idempotent: bool,
    retry_after_s: float | None = None,
    worker_deaths: int = 0,
    elapsed_s: float = 0.0,
    rng: random.Random,
) -> Retry | GiveUp:
    """What follows on a failed attempt.

    `ambiguous`: whether the receiver may have acted on this attempt or on any before it. `attempts`: attempts made,
    this one included, without those that ended with their worker; those are counted in `worker_deaths`.
    `elapsed_s`: since the first of them began.
    """
    if failure is FailureClass.WORKER_LOST and worker_deaths >= MAX_WORKER_DEATHS:
        return GiveUp(ExecutionStatus.FAILED)
    tried_again = _TRIED_AGAIN_IF_IDEMPOTENT if idempotent else _TRIED_AGAIN_IF_NOTHING_WAS_SENT
    may_repeat = idempotent or not ambiguous
    left = attempts < policy.attempts or failure is FailureClass.WORKER_LOST
    if failure in tried_again and may_repeat and left:
        after_s = _wait(max(attempts, worker_deaths, 1), policy, retry_after_s, rng)
        if elapsed_s + after_s <= policy.deadline_s:
            return Retry(after_s)
    return GiveUp(ExecutionStatus.OUTCOME_UNKNOWN if ambiguous else ExecutionStatus.FAILED)


def _wait(attempts: int, policy: RetryPolicy, retry_after_s: float | None, rng: random.Random) -> float:
    """Full jitter (M. Brooker, "Exponential Backoff And Jitter", 2015), on top of what the receiver asks for."""
    ceiling = min(policy.max_backoff_s, policy.backoff_s * 2.0 ** min(attempts - 1, 60))
    asked = min(max(retry_after_s or 0.0, 0.0), LONGEST_WAIT_S)
    return asked + rng.uniform(0.0, ceiling)
