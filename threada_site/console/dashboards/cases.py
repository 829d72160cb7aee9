"""Open work items by status, and charts of governed work."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from django.db.models import QuerySet
from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from integrations.lifecycle import ExecutionStatus
from telemetry import selectors as telemetry_selectors
from telemetry.summary.filters import SummaryFilters
from telemetry.summary.summarize import summarize
from threada_site.admin.html import list_url
from threada_site.admin.words import word
from threada_site.console.dashboards.parts import CAP, DashboardMetric, capped_counts, metric, shown
from threada_site.console.reports.charts import Chart, Series, ranked, stacked
from threada_site.console.reports.report_charts import ListsBehind, ReportCharts, duration
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext, Scope
from workitems import selectors
from workitems.lifecycle import WORK_ITEM, StepStatus, WorkItemStatus

STUCK: Final = "nobody_can_decide"
_OPEN: Final = [status for status in WorkItemStatus if WORK_ITEM.is_open(status)]
DAYS: Final = 14
_AGES: Final = (
    (gettext_noop("up to 1 hour"), timedelta(hours=1)),
    (gettext_noop("up to 1 day"), timedelta(days=1)),
    (gettext_noop("up to 3 days"), timedelta(days=3)),
    (gettext_noop("up to 7 days"), timedelta(days=7)),
    (gettext_noop("older"), None),
)


def case_counts(ctx: ActingContext) -> dict[str, QuerySet[Any]]:
    """Return the rows that `case_metrics` and `ages_of` count."""
    items = selectors.work_items(ctx)
    unknown = selectors.executions(ctx).filter(status=ExecutionStatus.OUTCOME_UNKNOWN)
    return {
        **{status.value: items.filter(status=status) for status in _OPEN},
        STUCK: items.filter(nobody_can_decide=True),
        "unknown": unknown,
        **_pending_by_age(ctx),
    }


def case_metrics(counted: Mapping[str, int]) -> list[DashboardMetric]:
    """Return the open work items by status, and unknown outcomes."""
    items = list_url("workitems.workitem")
    found = [
        metric(word(status), counted[status], f"{items}?status={status}", is_bad=status is WorkItemStatus.FAILED)
        for status in _OPEN
    ]
    executions = f"{list_url('integrations.execution')}?status=outcome_unknown"
    found.append(metric(word("outcome_unknown"), counted["unknown"], executions, is_bad=True))
    if counted[STUCK]:
        found.append(metric(word(STUCK), counted[STUCK], f"{items}?{STUCK}=true", is_bad=True))
    return found


def case_charts(ctx: ActingContext) -> dict[str, Any]:
    """Return the charts of the last 14 days, the ages of pending decisions, and the shares behind them.

    Those who read telemetry get sums that sealing maintains (two statements). Others get the work items received, up to
    `CAP` a day (one statement).
    """
    today = clock.now().date()
    days = [(today - timedelta(days=back)).isoformat() for back in range(DAYS - 1, -1, -1)]
    behind = ListsBehind(date.fromisoformat(days[0]), today, {})
    if not ctx.has_scope_anywhere(Scope.TELEMETRY_READ):
        return {"shares": [], "charts": [_received(ctx, days, behind)]}
    bound = SummaryFilters(data=QueryDict(), queryset=telemetry_selectors.summary_counts(ctx))
    summary = summarize(bound, date.fromisoformat(days[0]), today, ctx=ctx, group_by="day")
    charts = ReportCharts(summary, days, behind)
    total = summary.total
    reports = reverse("admin:summary")
    return {
        "shares": [
            DashboardMetric(_("decided without people"), _percent(total.automation_rate), reports),
            DashboardMetric(_("median until people decided"), _duration(total.decision_time(0.5)), reports),
            DashboardMetric(_("90th percentile"), _duration(total.decision_time(0.9)), reports),
            DashboardMetric(_("deadlines met"), _percent(total.deadlines_met), reports),
        ],
        "charts": [charts.received(), charts.outcomes(), charts.decision_times(), charts.deadlines()],
    }


def ages_of(counted: Mapping[str, int]) -> list[tuple[str, str, float]]:
    """Return the pending decisions by age as (label, number, length in per cent): all that the reader may read."""
    counts = [(label, counted[label]) for label, _age in _AGES]
    lengths = {line.label: line.share for line in ranked(counts)}
    return [(_(label), shown(count), lengths[label]) for label, count in counts]


def _pending_by_age(ctx: ActingContext) -> dict[str, QuerySet[Any]]:
    now = clock.now()
    pending = selectors.decision_steps(ctx).filter(status=StepStatus.PENDING)
    found: dict[str, QuerySet[Any]] = {}
    newer = None
    for label, age in _AGES:
        rows = pending if newer is None else pending.filter(id__lt=newer)
        if age is not None:
            newer = ids.first_id_at(now - age)
            rows = rows.filter(id__gte=newer)
        found[label] = rows
    return found


def _received(ctx: ActingContext, days: list[str], behind: ListsBehind) -> Chart:
    """Return the work items received on each day, up to `CAP` each."""
    windows = {}
    for day in days:
        begin = datetime.combine(date.fromisoformat(day), time(), UTC)
        bounds = {"id__gte": ids.first_id_at(begin), "id__lt": ids.first_id_at(begin + timedelta(days=1))}
        windows[day] = selectors.work_items(ctx).filter(**bounds)
    counted = capped_counts(windows)
    about = _("At most %(most)d are counted for each day.") % {"most": CAP} if max(counted.values()) > CAP else ""
    return stacked(
        _("Work items received"),
        days,
        [Series(_("received"), "plain", {day: min(count, CAP) for day, count in counted.items()})],
        url=behind.items(),
        day_urls={day: behind.items(day) for day in days},
        about=about,
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"  # noqa: RUF001


def _duration(seconds: float | None) -> str:
    return "–" if seconds is None else duration(seconds)  # noqa: RUF001
