"""Metrics of one selection, computed from its counts. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from telemetry.summary.measures import Measure
from telemetry.summary.quantiles import quantile

DIMENSIONS: Final = ("day", "workflow", "channel", "policy_version", "integration")
EFFECTS: Final = ("allow", "review", "require_approval", "deny")
STEP_ENDS: Final = ("approved", "rejected", "expired", "cancelled", "superseded")
ITEM_ENDS: Final = ("resolved", "refused", "rejected", "expired", "cancelled")
DEADLINES: Final = ("met", "missed")
EXECUTION_ENDS: Final = ("succeeded", "failed", "outcome_unknown", "rejected", "expired", "cancelled")


@dataclass
class SummaryMetrics:
    """Counts by measure and label, and the metrics derived from them."""

    counts: dict[Measure, Counter[str]] = field(default_factory=lambda: {measure: Counter() for measure in Measure})

    def add(self, measure: str, label: str, count: int) -> None:
        self.counts[Measure(measure)][label] += count

    @property
    def received(self) -> int:
        """Return the number of submitted work items."""
        return self.counts[Measure.RECEIVED][""]

    @property
    def automation_rate(self) -> float | None:
        """Return the share of submitted work items for which no person has been asked to decide, or None without any.

        Both numbers are of the work items submitted in the period, so one that waits for people lowers the share.
        """
        asked = self.counts[Measure.ASKED][""]
        return max(0.0, 1 - asked / self.received) if self.received else None

    @property
    def deadlines_met(self) -> float | None:
        """Return the share of steps that people decided before their deadline, or None if none had one."""
        found = self.counts[Measure.DEADLINE]
        return found["met"] / found.total() if found.total() else None

    def decision_time(self, q: float) -> float | None:
        """Return the quantile `q` of the seconds that steps decided by people were open, with an error of at most 2
        %."""
        return quantile({int(label): count for label, count in self.counts[Measure.DECISION_TIME].items()}, q)

    @property
    def decided_by_people(self) -> int:
        """Return the number of steps with a counted duration."""
        return self.counts[Measure.DECISION_TIME].total()

    def ranked(self, measure: Measure) -> list[tuple[str, int]]:
        """Return labels of `measure` with their counts, the most frequent first."""
        return sorted(self.counts[measure].items(), key=lambda entry: (-entry[1], entry[0]))


def total_of(rows: Iterable[tuple[str, str, str, int]]) -> tuple[SummaryMetrics, dict[str, SummaryMetrics]]:
    """Return the metrics of all `rows` (group, measure, label, count), and those of each group."""
    total = SummaryMetrics()
    groups: dict[str, SummaryMetrics] = {}
    for group, measure, label, count in rows:
        total.add(measure, label, count)
        groups.setdefault(group, SummaryMetrics()).add(measure, label, count)
    return total, groups
