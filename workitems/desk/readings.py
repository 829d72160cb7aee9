"""Who had which decision before them: noted by the pages that show it, and by nothing that decides."""

from __future__ import annotations

from collections.abc import Iterable

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from workitems.models import DecisionStep, StepReading


def note_shown(steps: Iterable[DecisionStep], *, ctx: ActingContext) -> None:
    """Note that these steps were shown to who asks, with their evidence. Only the first time counts; one statement.

    It changes no case and leaves no receipt: looking decides nothing.
    """
    require_unit_of_work(ctx.tenant_id)
    now = clock.now()
    in_order = sorted(steps, key=lambda step: step.id)  # as votes lock them: their keys are locked at the commit
    rows = [
        StepReading(tenant_id=ctx.tenant_id, step_id=step.id, reader_id=ctx.principal_id, first_shown_at=now)
        for step in in_order
    ]
    StepReading.objects.bulk_create(rows, ignore_conflicts=True)
