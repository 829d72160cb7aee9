"""Reports page: charts over days and a table by workflow, channel, policy version or integration."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext, gettext_lazy

from telemetry import selectors
from telemetry.summary.filters import SummaryFilters
from telemetry.summary.measures import Measure
from telemetry.summary.metrics import EFFECTS, EXECUTION_ENDS, SummaryMetrics
from telemetry.summary.summarize import Summary, summarize
from threada_site.admin.html import list_url
from threada_site.console.charts import Chart, Series, ranked, stacked
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, Scope

PERIODS: Final = (("7", "7 days"), ("31", "31 days"), ("90", "90 days"))
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
_TONES: Final = {
    "allow": "good",
    "review": "waiting",
    "require_approval": "busy",
    "deny": "bad",
    "succeeded": "good",
    "failed": "bad",
    "outcome_unknown": "waiting",
    "rejected": "plain",
    "expired": "plain",
    "cancelled": "plain",
}


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
    behind = _Behind(first, last, filters)
    return {
        "metrics": _headline(total),
        "charts": _charts(by_day, [(first + timedelta(days=n)).isoformat() for n in range(days)], behind),
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


class _Behind:
    """URLs of the lists behind the charts, with the same filters and window."""

    def __init__(self, first: date, last: date, filters: dict[str, str]) -> None:
        self._first, self._last, self._filters = first, last, filters

    def _list(self, model: str, first: date, last: date, **more: str) -> str:
        asked = {"created_after": first.isoformat(), "created_before": last.isoformat()}
        return f"{list_url(model)}?{urlencode({**more, **self._filters, **asked})}"

    def receipts(self, kind: str, day: str | None = None) -> str:
        """Return the URL of receipts of `kind`, at most of the last 31 days."""
        last = date.fromisoformat(day) if day else self._last
        first = last if day else max(self._first, last - timedelta(days=30))
        return self._list("telemetry.receipt", first, last, kind=kind)

    def items(self, day: str | None = None) -> str:
        first, last = (date.fromisoformat(day), date.fromisoformat(day)) if day else (self._first, self._last)
        return self._list("workitems.workitem", first, last)


def _charts(summary: Summary, days: list[str], behind: _Behind) -> list[Chart]:
    def over_days(measure: Measure, label: str) -> dict[str, float]:
        return {day: metrics.counts[measure][label] for day, metrics in summary.groups.items()}

    def decided(q: float) -> dict[str, float]:
        return {day: (metrics.decision_time(q) or 0) / 60 for day, metrics in summary.groups.items()}

    def minutes(q: float) -> str:
        found = summary.total.decision_time(q)
        return "–" if found is None else duration(found)  # noqa: RUF001

    return [
        stacked(
            gettext("Work items received"),
            days,
            [Series("received", "plain", over_days(Measure.RECEIVED, ""))],
            url=behind.items(),
            day_urls={day: behind.items(day) for day in days},
        ),
        stacked(
            gettext("Policy decisions"),
            days,
            [Series(_words(e), _TONES[e], over_days(Measure.DECIDED, e)) for e in EFFECTS],
            url=behind.receipts("policy.decided"),
            day_urls={day: behind.receipts("policy.decided", day) for day in days},
        ),
        stacked(
            gettext("Time until people decided"),
            days,
            [Series(gettext("95th percentile"), "waiting", decided(0.95)), Series("median", "busy", decided(0.5))],
            url=behind.receipts("decision_step.approved"),
            day_urls={day: behind.receipts("decision_step.approved", day) for day in days},
            about=gettext("Time that approved or rejected steps were open, by the day of the decision."),
            unit=" min",
            stacks=False,
            totals={"95th percentile": minutes(0.95), "median": minutes(0.5)},
        ),
        stacked(
            gettext("Executions ended"),
            days,
            [
                Series(
                    _words(end),
                    _TONES[end],
                    over_days(Measure.EXECUTION, end),
                    url=behind.receipts(f"execution.{end}"),
                    day_urls={day: behind.receipts(f"execution.{end}", day) for day in days},
                )
                for end in EXECUTION_ENDS
            ],
            url=behind.receipts("execution.succeeded"),
            day_urls={day: behind.receipts("execution.succeeded", day) for day in days},
            about=_simulated_in_words(summary.total),
        ),
    ]


def _headline(total: SummaryMetrics) -> list[tuple[str, str]]:
    rate, median = total.automation_rate, total.decision_time(0.5)
    executions, simulated = total.counts[Measure.EXECUTION], total.counts[Measure.SIMULATED]
    return [
        (gettext("received"), f"{total.received:,}"),
        (gettext("decided by policy alone"), "–" if rate is None else f"{rate:.0%}"),  # noqa: RUF001
        (gettext("median until people decided"), "–" if median is None else duration(median)),  # noqa: RUF001
        (gettext("executions succeeded"), f"{executions['succeeded']:,}"),
        (gettext("failed or unknown"), f"{executions['failed'] + executions['outcome_unknown']:,}"),
        *([(gettext("simulated, nothing was sent"), f"{simulated.total():,}")] if simulated else []),
    ]


def _simulated_in_words(total: SummaryMetrics) -> str:
    count = total.counts[Measure.SIMULATED].total()
    if not count:
        return ""
    return gettext("Without %(count)s simulated executions: nothing was sent for them.") % {"count": f"{count:,}"}


def _table_row(key: str, metrics: SummaryMetrics) -> dict[str, Any]:
    rate = metrics.automation_rate
    median, slow = metrics.decision_time(0.5), metrics.decision_time(0.95)
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


def duration(seconds: float) -> str:
    """Return a duration as text, e.g. `4.2 s`, `12 min`, `3.5 h`, `2.0 d`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _words(label: str) -> str:
    return label.replace("_", " ")


def _query(filters: dict[str, str]) -> QueryDict:
    query = QueryDict(mutable=True)
    query.update(filters)
    return query
