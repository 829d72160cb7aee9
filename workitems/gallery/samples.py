"""Sample requests of a pack: created and executed as any other request, by the person who tries the pack."""

from __future__ import annotations

from dataclasses import dataclass

from integrations.models import Execution
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import NotFound, PolicyDenied, ReviewPending
from workitems.executions.declared_request import execute_declared
from workitems.gallery.catalogue import GalleryPack
from workitems.items.intake import IntakeRequest, create_work_item
from workitems.models import WorkItem


@dataclass(frozen=True, slots=True)
class SampleRequested:
    """The work item of a sample, and its execution; None if the policies deny it or require a review first."""

    item: WorkItem
    execution: Execution | None


def request_sample(pack: GalleryPack, number: int, *, ctx: ActingContext) -> SampleRequested:
    """Create a work item from the sample at `number` (from 0) and execute the action that its workflow declares.

    Raise `NotFound` and the errors of `create_work_item` and `execute_declared`, except that a denial and a review are
    results here.
    """
    require_unit_of_work(ctx.tenant_id)
    if not 0 <= number < len(pack.samples):
        raise NotFound("The pack has no such sample.")
    sample = pack.samples[number]
    asked = IntakeRequest(
        workflow=pack.workflow,
        channel=pack.request["channel"],
        payload=dict(sample.payload),
        confidence=sample.confidence,
    )
    item = create_work_item(asked, ctx=ctx)
    try:
        started = execute_declared(item, ctx=ctx)
    except (PolicyDenied, ReviewPending):
        return SampleRequested(item, None)
    return SampleRequested(item, started.execution)
