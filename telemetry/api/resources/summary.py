"""Resource of `/telemetry/summary`: metrics over whole days (UTC), in total and by group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from telemetry.summary.measures import Measure
from telemetry.summary.metrics import (
    DEADLINES,
    DIMENSIONS,
    EFFECTS,
    EXECUTION_ENDS,
    ITEM_ENDS,
    STEP_ENDS,
    SummaryMetrics,
)
from threada_site.api.resources.field_types import (
    COUNT,
    INSTANT,
    MAYBE_FLOAT,
    MAYBE_INSTANT,
    TEXT,
    array,
    choice,
    inline,
    nested,
)
from threada_site.api.resources.resource import Field, FieldType, Resource, field, given

_RANKED: Final = array(
    inline(
        field("reason_code", TEXT, lambda entry: entry[0]),
        field("count", COUNT, lambda entry: entry[1]),
    )
)


def _counts(name: str, measure: Measure, labels: tuple[str, ...], description: str) -> Field:
    """Field that counts `measure` by label."""
    schema = {"type": "object", "properties": dict.fromkeys(labels, COUNT.schema), "required": list(labels)}

    def read(metrics: SummaryMetrics) -> dict[str, int]:
        return {label: metrics.counts[measure][label] for label in labels}

    return field(name, FieldType(schema), read, description=description)


def _ranked(measure: Measure) -> Callable[[SummaryMetrics], list[tuple[str, int]]]:
    return lambda metrics: metrics.ranked(measure)


def _quantile(q: float) -> Callable[[SummaryMetrics], float | None]:
    return lambda metrics: _rounded(metrics.decision_time(q), 3)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _groups(summary: Any) -> Any:
    return summary.groups.items()


METRICS: Final = Resource(
    "TelemetryFigures",
    field("work_items_received", COUNT, "received"),
    _counts("policy_decisions", Measure.DECIDED, EFFECTS, "By effect."),
    field(
        "refusals",
        _RANKED,
        _ranked(Measure.REFUSED),
        description="Reasons of policy denials; one with two reasons counts at both.",
    ),
    field("requests_refused", _RANKED, _ranked(Measure.REQUEST_REFUSED)),
    _counts("decision_steps", Measure.STEP, STEP_ENDS, "Steps that ended, by status."),
    field(
        "decision_seconds",
        inline(
            field("count", COUNT, "decided_by_people"),
            field("p50", MAYBE_FLOAT, _quantile(0.5)),
            field("p90", MAYBE_FLOAT, _quantile(0.9)),
            field("p95", MAYBE_FLOAT, _quantile(0.95)),
        ),
        lambda metrics: metrics,
        description="How long steps were open that people approved or rejected; quantiles are 2 % off at most.",
    ),
    field(
        "automation_rate",
        MAYBE_FLOAT,
        lambda metrics: _rounded(metrics.automation_rate, 4),
        description="Share of the work items submitted in the period for which no person has been asked to decide.",
    ),
    _counts("outcomes", Measure.OUTCOME, ITEM_ENDS, "Work items that ended, by final status."),
    _counts("deadlines", Measure.DEADLINE, DEADLINES, "Steps with a deadline, by whether people decided before it."),
    _counts("executions", Measure.EXECUTION, EXECUTION_ENDS, "By how they ended; a retried one counts again."),
    _counts(
        "simulated_executions",
        Measure.SIMULATED,
        EXECUTION_ENDS,
        "Executions whose calls were simulated: nothing was sent. They are not among `executions`.",
    ),
    field(
        "execution_failures",
        _RANKED,
        _ranked(Measure.FAILURE),
        description="Failed and unknown outcomes, by class of failure.",
    ),
)
SUMMARY: Final = Resource(
    "TelemetrySummary",
    field("created_after", INSTANT, "after", description="The window asked for, widened to whole days (UTC)."),
    field("created_before", INSTANT, "before"),
    field("counted_at", MAYBE_INSTANT, "as_of", description="Time of the last counted receipt, or null."),
    field(
        "uncounted_receipts",
        COUNT,
        "uncounted",
        description="Sealed receipts that are not in the metrics yet.",
    ),
    given("group_by", choice(DIMENSIONS, or_null=True)),
    field("total", nested(METRICS)),
    field(
        "groups",
        array(
            inline(
                field(
                    "key",
                    TEXT,
                    lambda entry: entry[0],
                    description="A day, an id, or empty where a receipt has none.",
                ),
                field("figures", nested(METRICS), lambda entry: entry[1]),
            )
        ),
        _groups,
    ),
    field(
        "groups_left_out",
        COUNT,
        "left_out",
        description="Groups beyond the 400 with the most work; the total has them.",
    ),
)
