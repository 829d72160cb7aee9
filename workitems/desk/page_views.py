"""Page views of decision steps, recorded by the console pages that show a step with its evidence."""

from __future__ import annotations

from collections.abc import Iterable

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from workitems.models import DecisionStep, StepView


def record_page_views(steps: Iterable[DecisionStep], *, ctx: ActingContext) -> None:
    """Record that the console showed these steps, with their evidence, to the principal. Only the first view is stored.

    Writes one statement, changes no work item, and leaves no receipt.
    """
    require_unit_of_work(ctx.tenant_id, reads_cases=False)
    now = clock.now()
    in_order = sorted(steps, key=lambda step: step.id)  # order of the locks of votes: unique keys are locked at commit
    rows = [
        StepView(tenant_id=ctx.tenant_id, step_id=step.id, viewer_id=ctx.principal_id, first_viewed_at=now)
        for step in in_order
    ]
    StepView.objects.bulk_create(rows, ignore_conflicts=True)
