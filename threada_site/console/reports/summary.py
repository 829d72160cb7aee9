"""Reports page: charts over days and a table by workflow, channel, policy version or integration."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext, gettext_lazy

from telemetry import selectors
from telemetry.summary.filters import SummaryFilters
from telemetry.summary.measures import Measure
from telemetry.summary.metrics import SummaryMetrics
from telemetry.summary.summarize import summarize
from threada_site.console.reports.charts import ranked
from threada_site.console.reports.report_charts import ListsBehind, ReportCharts, duration
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, Scope

PERIODS: Final = (("7", gettext_lazy("7 days")), ("31", gettext_lazy("31 days")), ("90", gettext_lazy("90 days")))
GROUPS: Final = (
    ("workflow", gettext_lazy("Workflow")),
    ("channel", gettext_lazy("Channel")),
    ("policy_version", gettext_lazy("Policy version")),
    ("integration", gettext_lazy("Integration")),
)
_FIELDS: Final = (
    ("workflow_id", gettext_lazy("Workflow")),
    ("channel_id", gettext_lazy("Channel")),
    ("integration_id", gettext_lazy("Integration")),
)


def summary_page(request: HttpRequest, ctx: ActingContext) -> dict[str, Any]:
    """Return the context of the page, in four statements. Unknown choices are ignored."""
    query = request.GET
    days = int(query["days"]) if query.get("days") in dict(PERIODS) else 31
    by = query["by"] if query.get("by") in dict(GROUPS) else "workflow"
    last = clock.now().date()
    first = last - timedelta(days=days - 1)
    filters = {name: query[name] for name, _ in _FIELDS if query.get(name)}
    bound = SummaryFilters(data=_query(filters), queryset=selectors.summary_counts(ctx))
    by_day = summarize(bound, first, last, ctx=ctx, group_by="day")
    by_group = summarize(bound, first, last, ctx=ctx, group_by=by)
    total = by_day.total
    behind = ListsBehind(first, last, filters)
    charts = ReportCharts(by_day, [(first + timedelta(days=n)).isoformat() for n in range(days)], behind)
    return {
        "metrics": _headline(total),
        "charts": [
            charts.received(),
            charts.outcomes(),
            charts.decisions(),
            charts.decision_times(),
            charts.deadlines(),
            charts.executions(),
        ],
        "rankings": [
            (
                gettext("Reasons of policy denials"),
                ranked(total.ranked(Measure.REFUSED)),
                behind.receipts("policy.decided"),
            ),
            (
                gettext("Requests refused"),
                ranked(total.ranked(Measure.REQUEST_REFUSED)),
                behind.receipts("request.refused"),
            ),
            (
                gettext("Failures of executions"),
                ranked(total.ranked(Measure.FAILURE)),
                behind.receipts("execution.failed"),
            ),
        ],
        "table": [_table_row(key, metrics) for key, metrics in by_group.groups.items()],
        "table_title": dict(GROUPS)[by],
        "summary": by_day,
        "periods": PERIODS,
        "days": str(days),
        "groups": GROUPS,
        "by": by,
        "fields": [(name, label, filters.get(name, "")) for name, label in _FIELDS],
        "is_filtered": bool(filters),
        "is_empty": not any(counts for counts in total.counts.values()),
    }


def may_see(ctx: ActingContext | None) -> bool:
    return ctx is not None and ctx.has_scope_anywhere(Scope.TELEMETRY_READ)


def _headline(total: SummaryMetrics) -> list[tuple[str, str]]:
    rate, median, met = total.automation_rate, total.decision_time(0.5), total.deadlines_met
    executions, simulated = total.counts[Measure.EXECUTION], total.counts[Measure.SIMULATED]
    return [
        (gettext("received"), f"{total.received:,}"),
        (gettext("decided without people"), "–" if rate is None else f"{rate:.0%}"),  # noqa: RUF001
        (gettext("median until people decided"), "–" if median is None else duration(median)),  # noqa: RUF001
        (gettext("deadlines met"), "–" if met is None else f"{met:.0%}"),  # noqa: RUF001
        (gettext("executions succeeded"), f"{executions['succeeded']:,}"),
        (gettext("failed or unknown"), f"{executions['failed'] + executions['outcome_unknown']:,}"),
        *([(gettext("simulated, nothing was sent"), f"{simulated.total():,}")] if simulated else []),
    ]


def _table_row(key: str, metrics: SummaryMetrics) -> dict[str, Any]:
    rate = metrics.automation_rate
    median, slow = metrics.decision_time(0.5), metrics.decision_time(0.9)
    executions = metrics.counts[Measure.EXECUTION]
    return {
        "key": key or "none",
        "received": metrics.received,
        "denied": metrics.counts[Measure.DECIDED]["deny"],
        "rate": "–" if rate is None else f"{rate:.0%}",  # noqa: RUF001
        "median": "–" if median is None else duration(median),  # noqa: RUF001
        "slow": "–" if slow is None else duration(slow),  # noqa: RUF001
        "succeeded": executions["succeeded"],
        "failed": executions["failed"] + executions["outcome_unknown"],
    }


def _query(filters: dict[str, str]) -> QueryDict:
    query = QueryDict(mutable=True)
    query.update(filters)
    return query
