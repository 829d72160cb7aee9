"""Charts of governed work, for the reports and the dashboard. Definitions: docs/operations/reports.md."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from telemetry.summary.measures import Measure
from telemetry.summary.metrics import EFFECTS, EXECUTION_ENDS, ITEM_ENDS, SummaryMetrics
from telemetry.summary.summarize import Summary
from threada_site.admin.html import list_url
from threada_site.admin.words import word
from threada_site.console.reports.charts import Chart, Series, stacked

_TONES: Final = {
    "allow": "good",
    "review": "waiting",
    "require_approval": "busy",
    "deny": "bad",
    "succeeded": "good",
    "failed": "bad",
    "outcome_unknown": "waiting",
    "rejected": "busy",
    "expired": "waiting",
    "cancelled": "plain",
    "resolved": "good",
    "refused": "bad",
}


class ListsBehind:
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


class ReportCharts:
    """Charts of one summary by day. Each has the list behind it."""

    def __init__(self, summary: Summary, days: Sequence[str], behind: ListsBehind) -> None:
        self._summary, self._days, self._behind = summary, days, behind

    def received(self) -> Chart:
        return stacked(
            _("Work items received"),
            self._days,
            [Series(_("received"), "plain", self._over_days(Measure.RECEIVED, ""))],
            url=self._behind.items(),
            day_urls={day: self._behind.items(day) for day in self._days},
        )

    def outcomes(self) -> Chart:
        """Return the work items that ended, by final status, on the day of their end."""
        return stacked(
            _("Work items by outcome"),
            self._days,
            [Series(word(end), _TONES[end], self._over_days(Measure.OUTCOME, end)) for end in ITEM_ENDS],
            url=self._behind.items(),
            day_urls={},
            about=_("Work items that ended, by the day of their end. Open ones are not in it."),
        )

    def decisions(self) -> Chart:
        return stacked(
            _("Policy decisions"),
            self._days,
            [Series(word(effect), _TONES[effect], self._over_days(Measure.DECIDED, effect)) for effect in EFFECTS],
            **self._of_receipts("policy.decided"),
        )

    def decision_times(self) -> Chart:
        slow, usual = _("90th percentile"), _("median")
        return stacked(
            _("Time until people decided"),
            self._days,
            [Series(slow, "waiting", self._minutes(0.9)), Series(usual, "busy", self._minutes(0.5))],
            **self._of_receipts("decision_step.approved"),
            about=_("Time that approved or rejected steps were open, by the day of the decision."),
            unit=" min",
            stacks=False,
            totals={slow: self._quantile(0.9), usual: self._quantile(0.5)},
        )

    def deadlines(self) -> Chart:
        """Return the steps with a deadline, by whether people decided in time."""
        return stacked(
            _("Deadlines"),
            self._days,
            [
                Series(_("met"), "good", self._over_days(Measure.DEADLINE, "met")),
                Series(_("missed"), "bad", self._over_days(Measure.DEADLINE, "missed")),
            ],
            **self._of_receipts("decision_step.approved"),
            about=_("Steps with a deadline that people decided, or that expired. Pending ones are not in it."),
        )

    def executions(self) -> Chart:
        return stacked(
            _("Executions ended"),
            self._days,
            [
                Series(
                    word(end),
                    _TONES[end],
                    self._over_days(Measure.EXECUTION, end),
                    url=self._behind.receipts(f"execution.{end}"),
                    day_urls={day: self._behind.receipts(f"execution.{end}", day) for day in self._days},
                )
                for end in EXECUTION_ENDS
            ],
            **self._of_receipts("execution.succeeded"),
            about=_simulated_in_words(self._summary.total),
        )

    def _over_days(self, measure: Measure, label: str) -> dict[str, float]:
        return {day: metrics.counts[measure][label] for day, metrics in self._summary.groups.items()}

    def _minutes(self, q: float) -> dict[str, float]:
        return {day: (metrics.decision_time(q) or 0) / 60 for day, metrics in self._summary.groups.items()}

    def _quantile(self, q: float) -> str:
        found = self._summary.total.decision_time(q)
        return "–" if found is None else duration(found)  # noqa: RUF001

    def _of_receipts(self, kind: str) -> dict[str, Any]:
        days = {day: self._behind.receipts(kind, day) for day in self._days}
        return {"url": self._behind.receipts(kind), "day_urls": days}


def duration(seconds: float) -> str:
    """Return a duration as text, e.g. `4.2 s`, `12 min`, `3.5 h`, `2.0 d`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _simulated_in_words(total: SummaryMetrics) -> str:
    count = total.counts[Measure.SIMULATED].total()
    if not count:
        return ""
    return _("Without %(count)s simulated executions: nothing was sent for them.") % {"count": f"{count:,}"}
