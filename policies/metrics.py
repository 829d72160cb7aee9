"""Metrics of policy versions without the confirmation of a second person, and of evaluators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policies.lifecycle import EmergencyStatus
from policies.models import EmergencyPublication
from threada_site.kernel.metrics import Metric
from threada_site.tenancy.rate_limits import EVALUATOR, counted_by

_ENDINGS: Final = {"stopped": "too_slow", "broken": "broken", "not_started": "not_started"}
_SINCE: Final = "since the last crash of the database."


def emergency_metrics() -> Iterator[Metric]:
    """Yield the number of unconfirmed emergency publications."""
    unconfirmed = EmergencyPublication.objects.filter(status=EmergencyStatus.OPEN).count()
    yield Metric(
        "threada_policy_emergencies_unconfirmed",
        "Policy versions in force that no second person has confirmed.",
        unconfirmed,
    )


def evaluator_metrics() -> Iterator[Metric]:
    """Yield the number of evaluators started and failed, and of runs that waited for another one or were refused."""
    counted = counted_by(EVALUATOR)
    yield Metric("threada_evaluators_started", f"Evaluator processes started {_SINCE}", counted.get("started", 0))
    for event, reason in _ENDINGS.items():
        yield Metric(
            "threada_evaluators_failed",
            f"Evaluator processes killed, broken or not started {_SINCE}",
            counted.get(event, 0),
            (("reason", reason),),
        )
    yield Metric(
        "threada_evaluator_runs_waited",
        f"Evaluations that waited for another one of their tenant {_SINCE}",
        counted.get("waited", 0),
    )
    yield Metric(
        "threada_evaluator_runs_refused",
        f"Evaluations refused because all places, or that of their tenant, were taken {_SINCE}",
        counted.get("busy", 0),
    )
