"""Measures that one receipt adds to. Pure.

A count belongs to a measure and a label, e.g. `decided` with `deny`, or `decision_time` with the bucket of the time.
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
_ENDINGS: Final[dict[str, tuple[str, ...]]] = {
    "policy.decided": ("refused",),
    "decision_step.rejected": ("rejected",),
    "decision_step.expired": ("expired",),
    "work_item.cancelled": ("cancelled",),
    "work_item.resolved": ("resolved",),
    "execution.succeeded": ("resolved",),
    "execution.reconciled": ("resolved",),
}
"""Receipts of the event that ends a work item, with the final statuses. A work item ends once."""


class Measure(StrEnum):
    """Kinds of counts."""

    RECEIVED = "received"
    """Submitted work items."""
    DECIDED = "decided"
    """Policy decisions by effect."""
    REFUSED = "refused"
    """Reasons of policy denials. A denial with two reasons counts for both."""
    STEP = "step"
    """Finished decision steps by status."""
    DECISION_TIME = "decision_time"
    """Steps approved or rejected by people, by the bucket of the time that they were open."""
    EXECUTION = "execution"
    """Finished executions by status. A retried execution counts at each end."""
    SIMULATED = "simulated"
    """Finished executions whose calls were simulated, by status. They count neither as EXECUTION nor as FAILURE."""
    FAILURE = "failure"
    """Executions that failed or have an unknown outcome, by class of failure."""
    REQUEST_REFUSED = "request_refused"
    """Refused requests by reason code."""
    ASKED = "asked"
    """Work items for which people were asked to decide, at their first decision step. Counted on the day on which the
    work item was submitted."""
    OUTCOME = "outcome"
    """Work items that ended, by final status."""
    DEADLINE = "deadline"
    """Steps with a deadline that people decided before it (`met`), or that people decided or nobody decided after it
    (`missed`)."""


def measures(
    kind: str, reason_codes: Sequence[str], outcome: Callable[[], dict[str, Any]], status: str = ""
) -> Iterator[tuple[Measure, str]]:
    """Yield every (measure, label) that a receipt of `kind` adds to.

    `outcome` returns the outcome block when needed. `status` is that of the work item.
    """
    yield from _of_kind(kind, reason_codes, outcome)
    if status in _ENDINGS.get(kind, ()) and not (kind.startswith("execution.") and outcome().get("undoes")):
        yield Measure.OUTCOME, status


def _of_kind(
    kind: str, reason_codes: Sequence[str], outcome: Callable[[], dict[str, Any]]
) -> Iterator[tuple[Measure, str]]:
    noun, _, participle = kind.partition(".")
    match noun:
        case "work_item" if participle == "created":
            yield Measure.RECEIVED, ""
        case "policy" if participle == "decided":
            effect = str(outcome().get("effect", ""))
            yield Measure.DECIDED, effect
            if effect == "deny":
                yield from ((Measure.REFUSED, code[:_LONGEST_LABEL]) for code in dict.fromkeys(reason_codes))
        case "decision_step" if participle in _STEP_ENDS or participle == "opened":
            yield from _of_step(participle, outcome())
        case "execution":
            yield from _of_execution(participle, outcome)
        case "request" | "requests" if participle == "refused":
            yield from ((Measure.REQUEST_REFUSED, code[:_LONGEST_LABEL]) for code in dict.fromkeys(reason_codes))


def _of_execution(participle: str, outcome: Callable[[], dict[str, Any]]) -> Iterator[tuple[Measure, str]]:
    if participle not in EXECUTION_ENDS and participle != "reconciled":
        return
    status = str(outcome().get("status", "")) if participle == "reconciled" else participle
    if outcome().get("simulated") is True:
        yield Measure.SIMULATED, status
        return
    yield Measure.EXECUTION, status
    if participle in ("failed", "outcome_unknown"):
        yield Measure.FAILURE, str(outcome().get("failure", ""))[:_LONGEST_LABEL]


def _of_step(participle: str, outcome: dict[str, Any]) -> Iterator[tuple[Measure, str]]:
    if participle == "opened":
        if outcome.get("is_first"):
            yield Measure.ASKED, ""
        return
    yield Measure.STEP, participle
    seconds = outcome.get("open_for_s")
    if participle in _DECIDED_BY_PEOPLE and isinstance(seconds, int | float):
        yield Measure.DECISION_TIME, str(bucket_of(seconds))
    if isinstance(in_time := outcome.get("in_time"), bool):
        yield Measure.DEADLINE, "met" if in_time else "missed"


def amount(kind: str, outcome: Callable[[], dict[str, Any]]) -> int:
    """Return how often a receipt counts: the number of refusals that it is about, otherwise 1."""
    counted = outcome().get("count") if kind == "requests.refused" else None
    return counted if isinstance(counted, int) and counted > 0 else 1
