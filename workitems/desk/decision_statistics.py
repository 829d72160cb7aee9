"""Decision statistics per approver: time from opening to vote, approval rate, votes without opening the case."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Aggregate, Count, DurationField, F, OuterRef, Q, QuerySet, Subquery

from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Scope
from workitems.models import StepView, Vote

MAY_SEE: Final = (Scope.TELEMETRY_READ, Scope.WORKFLOW_MANAGE)
MAX_APPROVERS: Final = 300
MIN_DECISIONS: Final = 5
"""Rates and medians of fewer decisions are omitted because they are not meaningful."""


class Median(Aggregate):
    """Median of the values that are not NULL."""

    function = "PERCENTILE_CONT"
    template = "%(function)s(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"


@dataclass(frozen=True)
class ApproverStatistics:
    """Counted votes of one approver in a period; `opened` counts votes cast after the console had shown the case."""

    approver: str
    decisions: int
    approvals: int
    opened: int
    median: timedelta | None

    @property
    def approval_rate(self) -> float | None:
        return self.approvals / self.decisions if self.decisions >= MIN_DECISIONS else None

    @property
    def not_opened(self) -> int:
        return self.decisions - self.opened

    @property
    def median_seconds(self) -> float | None:
        """Return the median time from opening to vote in seconds, or None below `MIN_DECISIONS` opened cases."""
        return self.median.total_seconds() if self.median is not None and self.opened >= MIN_DECISIONS else None


def may_see(ctx: ActingContext) -> bool:
    return any(ctx.has_scope_anywhere(scope) for scope in MAY_SEE)


def decision_statistics(ctx: ActingContext, *, since: datetime, workflow: str = "") -> list[ApproverStatistics]:
    """Return the statistics of all approvers who voted since `since`, by name, in one statement.

    Contains only workflows for which the context holds one of the scopes `MAY_SEE`.
    """
    viewed_at = StepView.objects.filter(
        tenant_id=ctx.tenant_id,
        step_id=OuterRef("step_id"),
        viewer_id=OuterRef("voter_id"),
        first_viewed_at__lte=OuterRef("created_at"),
    ).values("first_viewed_at")
    rows = _votes(ctx).filter(id__gte=ids.first_id_at(since), counted=True)
    if workflow:
        rows = rows.filter(step__workflow=workflow)
    found = (
        rows.annotate(viewed_at=Subquery(viewed_at))
        .values("voter__username")
        .annotate(
            decisions=Count("id"),
            approvals=Count("id", filter=Q(decision="approve")),
            opened=Count("viewed_at"),
            median=Median(F("created_at") - F("viewed_at"), output_field=DurationField()),
        )
        .order_by("voter__username")[:MAX_APPROVERS]
    )
    return [
        ApproverStatistics(row["voter__username"], row["decisions"], row["approvals"], row["opened"], row["median"])
        for row in found
    ]


def _votes(ctx: ActingContext) -> QuerySet[Vote]:
    rows = Vote.objects.filter(tenant_id=ctx.tenant_id, carried_from=None)
    granted = [ctx.workflows_with(scope) for scope in MAY_SEE]
    if None in granted:
        return rows
    seen = frozenset().union(*(workflows or () for workflows in granted))
    return rows.filter(step__work_item__workflow_version__workflow_id__in=seen)
