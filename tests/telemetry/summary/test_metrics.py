"""Measures of receipts and the metrics derived from counts, compared with plain counting and sorting."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.summary.measures import Measure, measures
from telemetry.summary.metrics import SummaryMetrics, total_of
from telemetry.summary.quantiles import RELATIVE_ERROR, SHORTEST_S, bucket_of, quantile, seconds_of


@pytest.mark.parametrize(
    ("kind", "reasons", "outcome", "counted"),
    [
        ("work_item.created", [], {}, [("received", "")]),
        ("policy.decided", ["OK"], {"effect": "allow"}, [("decided", "allow")]),
        (
            "policy.decided",
            ["A", "B", "A"],
            {"effect": "deny"},
            [("decided", "deny"), ("refused", "A"), ("refused", "B")],
        ),
        ("policy.rechecked", ["A"], {"effect": "deny"}, []),
        ("decision_step.approved", [], {"open_for_s": 1.0}, [("step", "approved"), ("decision_time", "0")]),
        ("decision_step.rejected", [], {"open_for_s": 0}, [("step", "rejected"), ("decision_time", str(bucket_of(0)))]),
        ("decision_step.expired", [], {"open_for_s": 1.0}, [("step", "expired")]),
        ("decision_step.opened", [], {"is_first": False}, []),
        ("decision_step.opened", [], {"is_first": True}, [("asked", "")]),
        (
            "decision_step.approved",
            [],
            {"open_for_s": 1.0, "in_time": False},
            [("step", "approved"), ("decision_time", "0"), ("deadline", "missed")],
        ),
        ("decision_step.expired", [], {"in_time": False}, [("step", "expired"), ("deadline", "missed")]),
        ("decision_step.claimed", [], {}, []),
        ("execution.succeeded", [], {}, [("execution", "succeeded")]),
        ("execution.succeeded", [], {"simulated": True}, [("simulated", "succeeded")]),
        ("execution.failed", [], {"simulated": True, "failure": "timeout"}, [("simulated", "failed")]),
        ("execution.reconciled", [], {"simulated": True, "status": "failed"}, [("simulated", "failed")]),
        ("execution.failed", [], {"failure": "timeout"}, [("execution", "failed"), ("failure", "timeout")]),
        (
            "execution.outcome_unknown",
            [],
            {"failure": "timeout"},
            [("execution", "outcome_unknown"), ("failure", "timeout")],
        ),
        ("execution.reconciled", [], {"status": "succeeded"}, [("execution", "succeeded")]),
        ("execution.postponed", [], {"failure": "timeout"}, []),
        ("request.refused", ["permission_denied"], {}, [("request_refused", "permission_denied")]),
        ("requests.refused", ["not_found"], {"count": 7}, [("request_refused", "not_found")]),
        ("vote.recorded", [], {}, []),
        ("nonsense", [], {}, []),
    ],
)
def test_measures_of_a_receipt(
    kind: str, reasons: list[str], outcome: dict[str, Any], counted: list[tuple[str, str]]
) -> None:
    assert list(measures(kind, reasons, lambda: outcome)) == counted


@pytest.mark.parametrize(
    ("kind", "outcome", "status", "ended"),
    [
        ("policy.decided", {"effect": "deny"}, "refused", ["refused"]),
        ("policy.decided", {"effect": "allow"}, "ready", []),
        ("decision_step.rejected", {}, "rejected", ["rejected"]),
        ("decision_step.rejected", {}, "ready", []),
        ("decision_step.superseded", {}, "rejected", []),
        ("execution.rejected", {}, "rejected", []),
        ("execution.succeeded", {}, "resolved", ["resolved"]),
        ("execution.succeeded", {"undoes": "ex_1"}, "resolved", []),
        ("execution.failed", {}, "failed", []),
        ("work_item.cancelled", {}, "cancelled", ["cancelled"]),
    ],
)
def test_an_item_ends_once(kind: str, outcome: dict[str, Any], status: str, ended: list[str]) -> None:
    found = measures(kind, [], lambda: outcome, status)
    assert [label for measure, label in found if measure is Measure.OUTCOME] == ended


@given(st.floats(min_value=SHORTEST_S, max_value=3e8))
def test_bucket_represents_its_durations(seconds: float) -> None:
    assert seconds_of(bucket_of(seconds)) == pytest.approx(seconds, rel=RELATIVE_ERROR * 1.001)


def test_times_that_make_no_sense_share_the_shortest_bucket() -> None:
    assert bucket_of(-5) == bucket_of(0) == bucket_of(SHORTEST_S)


@given(st.lists(st.floats(min_value=0.01, max_value=1e6), min_size=1, max_size=200), st.sampled_from([0, 0.5, 0.95, 1]))
def test_quantiles_are_within_the_documented_error(times: list[float], q: float) -> None:
    counts: dict[int, int] = {}
    for time in times:
        counts[bucket_of(time)] = counts.get(bucket_of(time), 0) + 1
    exact = sorted(times)[int(q * (len(times) - 1))]
    assert quantile(counts, q) == pytest.approx(exact, rel=RELATIVE_ERROR * 1.001)


def test_nothing_counted_has_no_quantile() -> None:
    assert quantile({}, 0.5) is None
    assert SummaryMetrics().decision_time(0.5) is None
    assert SummaryMetrics().automation_rate is None


def test_metrics_of_groups_add_up_to_the_total() -> None:
    rows = [
        ("a", "decided", "allow", 6),
        ("a", "decided", "review", 9),
        ("b", "decided", "deny", 1),
        ("b", "step", "approved", 2),
        ("a", "step", "rejected", 1),
        ("a", "step", "expired", 5),
        ("a", "decision_time", "0", 3),
        ("b", "refused", "X", 1),
        ("a", "refused", "Y", 4),
        ("a", "received", "", 9),
        ("b", "received", "", 1),
        ("a", "asked", "", 3),
        ("a", "deadline", "met", 3),
        ("a", "deadline", "missed", 1),
    ]
    random.Random(7).shuffle(rows)
    total, groups = total_of(rows)
    assert total.automation_rate == 7 / 10
    assert groups["a"].automation_rate == 1 - 3 / 9
    assert groups["b"].automation_rate == 1
    assert (total.deadlines_met, groups["b"].deadlines_met) == (3 / 4, None)
    assert total.ranked(Measure.REFUSED) == [("Y", 4), ("X", 1)]
    assert total.decided_by_people == 3
    assert total.decision_time(0.5) == pytest.approx(1.0, rel=RELATIVE_ERROR * 1.001)
    for measure in Measure:
        assert total.counts[measure] == groups["a"].counts[measure] + groups["b"].counts[measure]
