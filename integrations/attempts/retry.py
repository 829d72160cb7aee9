"""Retry rule of failed attempts. Pure; the random source is an argument.

Guarantee: if the receiver cannot deduplicate, an execution reaches it at most once, and an execution that may have been
acted on never ends as `failed` (except after the tenth dead worker). Only failures to connect are retried in all cases.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from integrations.attempts.failures import FailureClass
from integrations.lifecycle import ExecutionStatus

MAX_WORKER_DEATHS: Final = 10
MAX_WAIT_S: Final = 3600.0

_TRIED_AGAIN_IF_IDEMPOTENT: Final = frozenset(
    {
        FailureClass.TIMEOUT,
        FailureClass.ATTACHMENT_UNAVAILABLE,
        FailureClass.CONNECTION_REFUSED,
        FailureClass.RECEIVER_RATE_LIMITED,
        FailureClass.BAD_RESPONSE,
        FailureClass.WORKER_LOST,
    }
)
_TRIED_AGAIN_IF_NOTHING_WAS_SENT: Final = frozenset(
    {
        FailureClass.ATTACHMENT_UNAVAILABLE,
        FailureClass.CONNECTION_REFUSED,
        FailureClass.TIMEOUT,
        FailureClass.WORKER_LOST,
    }
)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits of retries.

    `attempts` is the total number, including the first. The n-th delay is random between 0 and `backoff_s` · 2^(n-1),
    at most `max_backoff_s`. No attempt starts later than `deadline_s` after the first.
    """

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
    """Make no further attempt. The execution becomes `failed` or `outcome_unknown`."""

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
    """Return the decision after a failed attempt.

    `ambiguous`: the receiver may have acted on this attempt or an earlier one. `attempts`: number of attempts including
    this one, without attempts whose worker died; those are counted in `worker_deaths`. `elapsed_s`: seconds since the
    first attempt started.
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
    """Return the delay in seconds: full jitter, plus the Retry-After of the receiver.

    Source of full jitter: Marc Brooker, "Exponential Backoff And Jitter", 2015.
    """
    ceiling = min(policy.max_backoff_s, policy.backoff_s * 2.0 ** min(attempts - 1, 60))
    asked = min(max(retry_after_s or 0.0, 0.0), MAX_WAIT_S)
    return asked + rng.uniform(0.0, ceiling)
