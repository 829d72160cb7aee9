"""Retry decision and delay after a failed attempt."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.attempts.failures import FailureClass
from integrations.attempts.retry import MAX_WAIT_S, MAX_WORKER_DEATHS, GiveUp, Retry, RetryPolicy, next_try
from integrations.lifecycle import ExecutionStatus

POLICY = RetryPolicy(attempts=5, backoff_s=2.0, max_backoff_s=60.0)
FAILED = GiveUp(ExecutionStatus.FAILED)
UNKNOWN = GiveUp(ExecutionStatus.OUTCOME_UNKNOWN)
F = FailureClass


def after(
    failure: FailureClass, *, ambiguous: bool, idempotent: bool, attempts: int = 1, **more: object
) -> Retry | GiveUp:
    return next_try(
        failure,
        ambiguous=ambiguous,
        attempts=attempts,
        policy=POLICY,
        idempotent=idempotent,
        rng=random.Random(1),
        **more,  # type: ignore[arg-type]
    )


TABLE = [
    # failure, ambiguous, then what follows: idempotent, not idempotent (R: retry, F: failed, U: outcome_unknown)
    (F.CONNECTION_REFUSED, False, "R", "R"),
    (F.CONNECTION_REFUSED, True, "R", "U"),  # the receiver may have acted on an earlier attempt
    (F.TIMEOUT, False, "R", "R"),
    (F.TIMEOUT, True, "R", "U"),
    (F.RECEIVER_RATE_LIMITED, False, "R", "F"),
    (F.RECEIVER_RATE_LIMITED, True, "R", "U"),
    (F.BAD_RESPONSE, True, "R", "U"),
    (F.REJECTED_BY_RECEIVER, False, "F", "F"),
    (F.REJECTED_BY_RECEIVER, True, "U", "U"),
    (F.BLOCKED_ADDRESS, False, "F", "F"),
    (F.BLOCKED_ADDRESS, True, "U", "U"),
    (F.CREDENTIAL_UNAVAILABLE, False, "F", "F"),
    (F.CREDENTIAL_UNAVAILABLE, True, "U", "U"),
    (F.ENVELOPE_MISMATCH, False, "F", "F"),
    (F.POLICY_DENIED, False, "F", "F"),
    (F.WORKER_LOST, False, "R", "R"),
    (F.WORKER_LOST, True, "R", "U"),
]


@pytest.mark.parametrize(("failure", "ambiguous", "idempotent", "not_idempotent"), TABLE)
def test_decision_after_a_failure(failure: FailureClass, ambiguous: bool, idempotent: str, not_idempotent: str) -> None:
    for declared, expected in ((True, idempotent), (False, not_idempotent)):
        result = after(failure, ambiguous=ambiguous, idempotent=declared)
        assert {"F": result == FAILED, "U": result == UNKNOWN, "R": isinstance(result, Retry)}[expected]


@pytest.mark.parametrize("failure", [F.CONNECTION_REFUSED, F.TIMEOUT, F.RECEIVER_RATE_LIMITED, F.BAD_RESPONSE])
def test_attempts_are_used_up(failure: FailureClass) -> None:
    assert isinstance(after(failure, ambiguous=True, idempotent=True, attempts=4), Retry)
    assert after(failure, ambiguous=True, idempotent=True, attempts=5) == UNKNOWN
    assert after(failure, ambiguous=False, idempotent=True, attempts=5) == FAILED


def test_ten_dead_workers_end_an_execution() -> None:
    for deaths in range(1, MAX_WORKER_DEATHS):
        assert isinstance(
            after(F.WORKER_LOST, ambiguous=True, idempotent=True, attempts=5, worker_deaths=deaths), Retry
        )
    assert after(F.WORKER_LOST, ambiguous=True, idempotent=True, worker_deaths=10) == FAILED


def test_wait_is_full_jitter_under_a_doubling_ceiling() -> None:
    rng = random.Random(7)
    for attempts, ceiling in ((1, 2.0), (2, 4.0), (3, 8.0), (4, 16.0), (9, 60.0), (500, 60.0)):
        policy = RetryPolicy(attempts=1000, backoff_s=2.0, max_backoff_s=60.0)
        waits = [
            result.after_s
            for _ in range(400)
            if isinstance(
                result := next_try(
                    F.TIMEOUT, ambiguous=True, attempts=attempts, policy=policy, idempotent=True, rng=rng
                ),
                Retry,
            )
        ]
        assert len(waits) == 400
        assert 0 <= min(waits) < ceiling * 0.1
        assert ceiling * 0.9 < max(waits) <= ceiling


def test_receiver_is_not_asked_before_it_wants_to_be() -> None:
    for asked, floor in ((30.0, 30.0), (-5.0, 0.0), (10**9, MAX_WAIT_S)):
        result = after(F.RECEIVER_RATE_LIMITED, ambiguous=False, idempotent=True, retry_after_s=asked)
        assert isinstance(result, Retry)
        assert floor <= result.after_s <= floor + 2.0


@given(
    failure=st.sampled_from(FailureClass),
    attempts=st.integers(1, 30),
    deaths=st.integers(0, 9),
    seed=st.integers(),
    asked=st.none() | st.floats(0, 1e6),
)
def test_nothing_ambiguous_is_repeated_blindly_or_called_failed(
    failure: FailureClass, attempts: int, deaths: int, seed: int, asked: float | None
) -> None:
    rest = {"attempts": attempts, "policy": POLICY, "retry_after_s": asked, "worker_deaths": deaths}
    blind = next_try(failure, ambiguous=True, idempotent=False, rng=random.Random(seed), **rest)  # type: ignore[arg-type]
    assert blind == UNKNOWN
    safe = next_try(failure, ambiguous=True, idempotent=True, rng=random.Random(seed), **rest)  # type: ignore[arg-type]
    assert safe == UNKNOWN or (isinstance(safe, Retry) and 0 <= safe.after_s <= MAX_WAIT_S + 60)


def test_no_try_begins_after_the_deadline_for_all_tries() -> None:
    policy = RetryPolicy(attempts=20, backoff_s=1.0, max_backoff_s=1.0, deadline_s=60.0)
    terms = {"attempts": 2, "policy": policy, "idempotent": True}
    in_time = next_try(F.TIMEOUT, ambiguous=True, elapsed_s=59.0, rng=random.Random(1), **terms)  # type: ignore[arg-type]
    assert isinstance(in_time, Retry)
    late = next_try(F.TIMEOUT, ambiguous=True, elapsed_s=60.5, rng=random.Random(1), **terms)  # type: ignore[arg-type]
    assert late == UNKNOWN
    asked = {"elapsed_s": 31.0, "retry_after_s": 30.0, "rng": random.Random(1)}
    assert next_try(F.RECEIVER_RATE_LIMITED, ambiguous=False, **asked, **terms) == GiveUp(ExecutionStatus.FAILED)  # type: ignore[arg-type]
