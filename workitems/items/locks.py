"""Row locks of a case. Lock order: the work item first, then its step or execution."""

from __future__ import annotations

import uuid
from typing import Final

from integrations import selectors as integration_selectors
from integrations.models import Execution
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from workitems import selectors
from workitems.models import DecisionStep, WorkItem

_READ: Final = ("workflow_version", "requester")


def locked_item(work_item_id: uuid.UUID, *, ctx: ActingContext) -> WorkItem:
    """Return the item, locked. Raises `NotFound` if the context may not read it."""
    items = selectors.work_items(ctx).filter(id=work_item_id)
    item = items.select_for_update(of=("self",)).select_related(*_READ).first()
    if item is None:
        raise errors.NotFound
    return item


def locked_step(step_id: uuid.UUID, *, ctx: ActingContext) -> tuple[WorkItem, DecisionStep]:
    """Return the step and its item, locked. Raises `NotFound` if the context may not read it."""
    readable = selectors.decision_steps(ctx).filter(id=step_id).values("work_item_id")
    items = WorkItem.objects.filter(tenant_id=ctx.tenant_id, id__in=readable)
    item = items.select_for_update(of=("self",)).select_related(*_READ).first()
    if item is None:
        raise errors.NotFound
    step = (
        DecisionStep.objects.select_for_update(of=("self",))
        .filter(tenant_id=ctx.tenant_id, id=step_id)
        .select_related("envelope")
        .first()
    )
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
