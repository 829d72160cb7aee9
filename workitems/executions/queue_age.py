"""Age of the queue: since when the oldest execution is due."""

from __future__ import annotations

from datetime import datetime

from django.db.models import OuterRef, Subquery

from integrations.lifecycle import ExecutionStatus
from integrations.models import Integration
from threada_site.kernel.context import ActingContext
from workitems import selectors


def oldest_due(ctx: ActingContext, *, now: datetime) -> datetime | None:
    """Return since when the oldest queued execution that no freeze blocks is due; None if none is.

    Reads two rows of an index for each integration, however many executions there are.
    """
    due = selectors.executions(ctx).filter(
        integration=OuterRef("slug"),
        status=ExecutionStatus.STARTED,
        blocked_by_freeze__isnull=True,
        ready_at__lte=now,
    )
    first = due.order_by("ready_at").values("ready_at")
    rows = Integration.objects.filter(tenant_id=ctx.tenant_id).values_list(
        Subquery(first.filter(dispatched_at__isnull=True)[:1]), Subquery(first.filter(dispatched_at__isnull=False)[:1])
    )
    return min((ready_at for row in rows for ready_at in row if ready_at is not None), default=None)
