"""The locks of a case, by name. Order: the work item first, then its step or execution."""

from __future__ import annotations

import uuid

from integrations import selectors as systems
from integrations.models import Execution
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from workitems import selectors
from workitems.models import DecisionStep, WorkItem


def locked_item(work_item_id: uuid.UUID, *, ctx: ActingContext) -> WorkItem:
    """The locked item that the context may read. Raises `NotFound`."""
    if not selectors.work_items(ctx).filter(id=work_item_id).exists():
        raise errors.NotFound
    item = selectors.work_item_for_update(work_item_id, tenant_id=ctx.tenant_id)
    if item is None:
        raise errors.NotFound
    return item


def locked_step(step_id: uuid.UUID, *, ctx: ActingContext) -> tuple[WorkItem, DecisionStep]:
    """A step that the context may read, and its item, both locked. Raises `NotFound`."""
    found = selectors.decision_steps(ctx).filter(id=step_id).values_list("work_item_id", flat=True).first()
    if found is None:
        raise errors.NotFound
    item = selectors.work_item_for_update(found, tenant_id=ctx.tenant_id)
    step = (
        DecisionStep.objects.select_for_update(of=("self",))
        .filter(tenant_id=ctx.tenant_id, id=step_id)
        .select_related("envelope")
        .first()
    )
    if item is None or step is None:
        raise errors.NotFound
    return item, step


def locked_execution(execution_id: uuid.UUID, *, ctx: ActingContext) -> tuple[WorkItem, Execution]:
    """An execution that the context may read, and its item, both locked. Raises `NotFound`."""
    found = selectors.executions(ctx).filter(id=execution_id).values_list("work_item_id", flat=True).first()
    if found is None:
        raise errors.NotFound
    item = selectors.work_item_for_update(found, tenant_id=ctx.tenant_id)
    execution = systems.execution_for_update(execution_id, tenant_id=ctx.tenant_id)
    if item is None or execution is None:
        raise errors.NotFound
    return item, execution
