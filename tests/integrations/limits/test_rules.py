"""Limits and breaker of an integration, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.attempts.failures import FailureClass
from integrations.documents import read_integration
from integrations.documents.model import Limits
from integrations.limits.rules import calls_within, rate_opens_at, receiver_is_healthy
from threada_site.kernel.errors import DocumentInvalid

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
SPEC: dict[str, Any] = {
    "connector": "http",
    "base_url": "https://bank.example",
    "actions": {"pay": {"method": "POST", "path": "/"}},
}


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_they_are_read_from_the_document() -> None:
    assert read_integration(SPEC).limits == Limits()
    assert read_integration(SPEC).limits.are_unbounded
    written = {
        "limits": {"concurrency": 5, "rate": {"calls": 100, "per": "PT1M"}},
        "breaker": {"failures": 3, "rest": 7},
    }
    limits = read_integration({**SPEC, **written}).limits
    assert limits == Limits(concurrency=5, calls=100, per_s=60.0, failures=3, backoff_s=7.0)
    assert not limits.are_unbounded


@pytest.mark.parametrize(
    ("written", "pointers"),
    [
        ({"limits": {"concurrency": 0}}, ["/spec/limits/concurrency"]),
        ({"limits": {"rate": {"per": "PT1M"}}}, ["/spec/limits/rate/calls"]),
        ({"limits": {"rate": {"calls": 1, "per": -1}}}, ["/spec/limits/rate/per"]),
        ({"limits": {"speed": 1}}, ["/spec/limits/speed"]),
        ({"breaker": {"failures": 0, "rest": "P9D"}}, ["/spec/breaker/failures", "/spec/breaker/rest"]),
    ],
)
def test_invalid_limits_are_reported(written: dict[str, Any], pointers: list[str]) -> None:
    with pytest.raises(DocumentInvalid) as refused:
        read_integration({**SPEC, **written})
    assert [error.pointer for error in refused.value.errors] == pointers


def test_a_workflow_integration_has_none() -> None:
    with pytest.raises(DocumentInvalid):
        read_integration({"connector": "workflow", "actions": {"close": {}}, "limits": {"concurrency": 1}})


def test_start_of_the_next_call() -> None:
    limits = Limits(calls=2, per_s=10)
    assert rate_opens_at([], limits) is None
    assert rate_opens_at([NOON], limits) is None
    assert rate_opens_at([NOON, after(4)], limits) == after(10)
    assert calls_within([after(4), NOON], limits, now=after(9)) == [NOON, after(4)]
    assert calls_within([after(4), NOON], limits, now=after(10)) == [after(4)]
    assert rate_opens_at([NOON] * 9, Limits()) is None


@given(
    st.lists(st.floats(0, 60), min_size=1, max_size=60),
    st.integers(1, 5),
    st.floats(0.5, 10),
)
def test_no_window_ever_holds_more_calls_than_allowed(asked: list[float], calls: int, per_s: float) -> None:
    limits = Limits(calls=calls, per_s=per_s)
    begun: list[datetime] = []
    for seconds in sorted(asked):
        opens_at = rate_opens_at(calls_within(begun, limits, now=after(seconds)), limits)
        if opens_at is None or opens_at <= after(seconds):
            begun.append(after(seconds))
    length = timedelta(seconds=per_s)
    for first, beyond in zip(begun, begun[calls:], strict=False):
        assert beyond - first >= length


def test_receiver_health_after_failures() -> None:
    health_by_failure = {failure: receiver_is_healthy(failure) for failure in FailureClass}
    assert {failure for failure, well in health_by_failure.items() if well is False} == {
        FailureClass.TIMEOUT,
        FailureClass.CONNECTION_REFUSED,
        FailureClass.BAD_RESPONSE,
    }
    assert {failure for failure, well in health_by_failure.items() if well} == {
        FailureClass.REJECTED_BY_RECEIVER,
        FailureClass.RECEIVER_RATE_LIMITED,
    }
    assert receiver_is_healthy(None)
