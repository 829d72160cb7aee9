"""What one receipt adds to the metrics. Pure.

A metric is a count of a measure under a label, e.g. `decided` under `deny`, or `decision_time` under the bucket that
the time fell into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Final

from telemetry.summary.quantiles import bucket_of

_STEP_ENDS: Final = frozenset({"approved", "rejected", "expired", "cancelled", "superseded"})
_DECIDED_BY_PEOPLE: Final = frozenset({"approved", "rejected"})
EXECUTION_ENDS: Final = frozenset({"succeeded", "failed", "outcome_unknown", "cancelled", "rejected", "expired"})
_LONGEST_LABEL: Final = 64


class Measure(StrEnum):
    """What is counted."""

    RECEIVED = "received"
    """Work items handed in."""
    DECIDED = "decided"
    """Policy decisions, by effect."""
    REFUSED = "refused"
    """Reasons of the denials among them; a denial with two reasons counts at both."""
    STEP = "step"
    """Decision steps that ended, by status."""
    DECISION_TIME = "decision_time"
    """Steps that people approved or rejected, by the bucket of the time they were open."""
    EXECUTION = "execution"
    """Executions, by how they ended; one that was retried counts at each end."""
    FAILURE = "failure"
    """Executions that failed or whose outcome is unknown, by class of failure."""
    REQUEST_REFUSED = "request_refused"
    """Requests that were refused, by reason code."""


def measures(
    kind: str, reason_codes: Sequence[str], outcome: Callable[[], dict[str, Any]]
) -> Iterator[tuple[Measure, str]]:
    """Every (measure, label) that a receipt of `kind` counts at. `outcome` reads the block of that name when needed."""
    noun, _, participle = kind.partition(".")
    match noun:
        case "work_item" if participle == "created":
            yield Measure.RECEIVED, ""
        case "policy" if participle == "decided":
            effect = str(outcome().get("effect", ""))
            yield Measure.DECIDED, effect
            if effect == "deny":
                yield from ((Measure.REFUSED, code[:_LONGEST_LABEL]) for code in dict.fromkeys(reason_codes))
        case "decision_step" if participle in _STEP_ENDS:
            yield Measure.STEP, participle
            seconds = outcome().get("open_for_s")
            if participle in _DECIDED_BY_PEOPLE and isinstance(seconds, int | float):
                yield Measure.DECISION_TIME, str(bucket_of(seconds))
        case "execution" if participle in EXECUTION_ENDS:
            yield Measure.EXECUTION, participle
            if participle in ("failed", "outcome_unknown"):
                yield Measure.FAILURE, str(outcome().get("failure", ""))[:_LONGEST_LABEL]
        case "execution" if participle == "reconciled":
            yield Measure.EXECUTION, str(outcome().get("status", ""))
        case "request" if participle == "refused":
            yield from ((Measure.REQUEST_REFUSED, code[:_LONGEST_LABEL]) for code in dict.fromkeys(reason_codes))
