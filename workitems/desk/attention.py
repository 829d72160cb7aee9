"""How people decide: how soon after the page was opened, how often yes, how often without the page. No judgement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Aggregate, Count, DurationField, F, OuterRef, Q, QuerySet, Subquery

from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Scope
from workitems.models import StepReading, Vote

MAY_SEE: Final = (Scope.TELEMETRY_READ, Scope.WORKFLOW_MANAGE)
MOST_PEOPLE: Final = 300
FEWEST: Final = 5
"""From fewer decisions than this nothing is worked out: a share of two says nothing."""


class Median(Aggregate):
    """The middle of the values that are there."""

    function = "PERCENTILE_CONT"
    template = "%(function)s(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"


@dataclass(frozen=True)
class Attention:
    """One person's decisions in a time; `shown` were taken after a page had shown the case with its evidence."""

    person: str
    decisions: int
    approvals: int
    shown: int
    median: timedelta | None

    @property
    def approval_rate(self) -> float | None:
        return self.approvals / self.decisions if self.decisions >= FEWEST else None

    @property
    def not_shown(self) -> int:
        return self.decisions - self.shown

    @property
    def median_seconds(self) -> float | None:
        """Of the decisions taken after a page, where there are enough of them."""
        return self.median.total_seconds() if self.median is not None and self.shown >= FEWEST else None


def may_see(ctx: ActingContext) -> bool:
    return any(ctx.holds_anywhere(scope) for scope in MAY_SEE)


def attention_of_people(ctx: ActingContext, *, since: datetime, workflow: str = "") -> list[Attention]:
    """Whoever decided since then, by name: of the workflows whose telemetry or rules the context may see.

    One statement over the votes of that time.
    """
    shown_at = StepReading.objects.filter(
        tenant_id=ctx.tenant_id,
        step_id=OuterRef("step_id"),
        reader_id=OuterRef("voter_id"),
        first_shown_at__lte=OuterRef("created_at"),
    ).values("first_shown_at")
    rows = _votes(ctx).filter(id__gte=ids.first_id_at(since), counted=True)
    if workflow:
        rows = rows.filter(step__workflow=workflow)
    found = (
        rows.annotate(shown_at=Subquery(shown_at))
        .values("voter__username")
        .annotate(
            decisions=Count("id"),
            approvals=Count("id", filter=Q(decision="approve")),
            shown=Count("shown_at"),
            median=Median(F("created_at") - F("shown_at"), output_field=DurationField()),
        )
        .order_by("voter__username")[:MOST_PEOPLE]
    )
    return [
        Attention(row["voter__username"], row["decisions"], row["approvals"], row["shown"], row["median"])
        for row in found
    ]


def _votes(ctx: ActingContext) -> QuerySet[Vote]:
    rows = Vote.objects.filter(tenant_id=ctx.tenant_id)
    granted = [ctx.workflows_with(scope) for scope in MAY_SEE]
    if None in granted:
        return rows
    seen = frozenset().union(*(workflows or () for workflows in granted))
    return rows.filter(step__work_item__workflow_version__workflow_id__in=seen)
