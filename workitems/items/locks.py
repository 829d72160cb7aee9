"""Row locks of a case. Lock order: the work item first, then its step or execution."""

from __future__ import annotations

import uuid
from typing import Final

from integrations import selectors as integration_selectors
from integrations.models import Execution
from threada_site.database.prepared_reads import PreparedRead
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from workitems import selectors
from workitems.models import DecisionStep, WorkItem

_locked: Final = WorkItem.objects.select_for_update(of=("self",)).select_related("workflow_version", "requester")
_item_of_step: Final = PreparedRead(
    lambda tenant, step: _locked.filter(
        tenant_id=tenant, id__in=DecisionStep.objects.filter(tenant_id=tenant, id=step).values("work_item_id")
    )
)
_step: Final = PreparedRead(
    lambda tenant, step: (
        DecisionStep.objects.select_for_update(of=("self",))
        .filter(tenant_id=tenant, id=step)
        .select_related("envelope")
    )
)


def locked_item(work_item_id: uuid.UUID, *, ctx: ActingContext) -> WorkItem:
    """Return the item, locked. Raises `NotFound` if the context may not read it."""
    if selectors.reads_all_cases(ctx):
        item = selectors.work_item_for_update(work_item_id, tenant_id=ctx.tenant_id)
    else:
        readable = selectors.work_items(ctx).filter(id=work_item_id)
        item = readable.select_for_update(of=("self",)).select_related("workflow_version", "requester").first()
    if item is None:
        raise errors.NotFound
    return item


def locked_step(step_id: uuid.UUID, *, ctx: ActingContext) -> tuple[WorkItem, DecisionStep]:
    """Return the step and its item, locked. Raises `NotFound` if the context may not read it."""
    if selectors.reads_all_cases(ctx):
        item = _item_of_step.first(ctx.tenant_id, step_id)
    else:
        readable = selectors.decision_steps(ctx).filter(id=step_id).values("work_item_id")
        item = _locked.filter(tenant_id=ctx.tenant_id, id__in=readable).first()
    if item is None:
        raise errors.NotFound
    step = _step.first(ctx.tenant_id, step_id)
    if step is None:
        raise errors.NotFound
    return item, step


def locked_execution(execution_id: uuid.UUID, *, ctx: ActingContext) -> tuple[WorkItem, Execution]:
    """Return the execution and its item, locked. Raises `NotFound` if the context may not read it."""
    found = selectors.executions(ctx).filter(id=execution_id).values_list("work_item_id", flat=True).first()
    if found is None:
        raise errors.NotFound
    item = selectors.work_item_for_update(found, tenant_id=ctx.tenant_id)
    execution = integration_selectors.execution_for_update(execution_id, tenant_id=ctx.tenant_id)
    if item is None or execution is None:
        raise errors.NotFound
    return item, execution
