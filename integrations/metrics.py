"""Metrics of executions, calls, circuit breakers and limits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from django.db import connection
from django.db.models import Count, Min, Sum

from integrations.attempts.failures import FailureClass
from integrations.limits.rules import WaitReason
from integrations.models import OPEN_EXECUTION_STATUSES, Execution, IntegrationGauge
from telemetry.models import SummaryCount
from telemetry.summary.measures import EXECUTION_ENDS, Measure
from threada_site.kernel import clock, ids
from threada_site.kernel.metrics import Metric

RECENTLY: Final = timedelta(minutes=10)
_ENDED: Final = (Measure.EXECUTION, Measure.SIMULATED, Measure.FAILURE)
QUANTILES: Final = (0.5, 0.95, 0.99)


def execution_metrics() -> Iterator[Metric]:
    """Yield the number of open executions for every open status, and of due executions."""
    rows = Execution.objects.filter(status__in=OPEN_EXECUTION_STATUSES).values_list("status").annotate(Count("id"))
    counts = dict(rows)
    for status in OPEN_EXECUTION_STATUSES:
        yield Metric(
            "threada_executions_open", "Executions that have not ended.", counts.get(status, 0), (("status", status),)
        )
    due = Execution.objects.filter(status="started", blocked_by_freeze__isnull=True, ready_at__lte=clock.now())
    oldest = due.aggregate(oldest=Min("ready_at"))["oldest"]
    age = (clock.now() - oldest).total_seconds() if oldest else 0.0
    yield Metric("threada_executions_due", "Queued executions.", due.count())
    yield Metric("threada_executions_oldest_due_seconds", "How long the oldest of them has waited.", age)


def ended_metrics() -> Iterator[Metric]:
    """Yield the number of ended executions by status and failure since the beginning, counted from sealed receipts."""
    rows = SummaryCount.objects.filter(measure__in=_ENDED).values_list("measure", "label")
    counts = {(measure, label): count for measure, label, count in rows.annotate(Sum("count"))}
    for outcome in sorted(EXECUTION_ENDS):
        yield Metric(
            "threada_executions_ended",
            "Executions by how they ended, as far as their receipts are sealed.",
            counts.get((Measure.EXECUTION, outcome), 0),
            (("outcome", outcome),),
        )
        yield Metric(
            "threada_executions_simulated",
            "Ended executions whose calls were simulated, not among threada_executions_ended.",
            counts.get((Measure.SIMULATED, outcome), 0),
            (("outcome", outcome),),
        )
    for failure in FailureClass:
        yield Metric(
            "threada_executions_ended_failures",
            "Those that failed or whose outcome is unknown, by failure.",
            counts.get((Measure.FAILURE, failure.value), 0),
            (("failure", failure.value),),
        )


def call_metrics() -> Iterator[Metric]:
    """Yield number and duration quantiles of recent attempts, which are found by their time-ordered ids."""
    since = ids.first_id_at(clock.now() - RECENTLY)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), percentile_disc(%s) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)) "
            "FROM integrations_attempt WHERE id >= %s AND finished_at IS NOT NULL",
            [list(QUANTILES), since],
        )
        count, seconds = cursor.fetchone()
    yield Metric("threada_calls_recent", "Attempts begun within ten minutes that have ended.", count)
    for quantile, value in zip(QUANTILES, seconds or [0.0] * len(QUANTILES), strict=True):
        yield Metric(
            "threada_call_seconds",
            "How long they took, from the lease to its end.",
            float(value or 0.0),
            (("quantile", f"{quantile:g}"),),
        )


def gauge_metrics() -> Iterator[Metric]:
    """Yield open circuit breakers, waiting integrations by reason, and executions that wait for a callback."""
    opened = IntegrationGauge.objects.filter(opened_at__isnull=False).count()
    yield Metric("threada_breakers_open", "Integrations whose circuit breaker is open.", opened)
    waiting = IntegrationGauge.objects.filter(waits_until__gt=clock.now()).values_list("waits_for")
    counts = dict(waiting.annotate(Count("id")))
    for because in WaitReason:
        yield Metric(
            "threada_integrations_waiting",
            "Integrations that nothing is called on for now.",
            counts.get(because.value, 0),
            (("for", because.value),),
        )
    late = Execution.objects.filter(status="running", waiting_until__isnull=False).count()
    yield Metric("threada_executions_awaiting_callback", "Executions whose receivers are to call back.", late)
