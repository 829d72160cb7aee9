"""Watching of work items. A watch gives no permission: it ends when the person may no longer read the item."""

from __future__ import annotations

from threada_site.database.batched_writes import insert_rows
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from workitems.models import Watch, WorkItem


def watch_item(item: WorkItem, *, ctx: ActingContext) -> None:
    """Notify the caller of what happens to `item`, which the caller may read. Raises `PersonRequired`."""
    require_unit_of_work(ctx.tenant_id)
    if not ctx.is_person:
        raise errors.PersonRequired("Only people watch work items; services and agents get no messages.")
    row = Watch(tenant_id=item.tenant_id, work_item_id=item.id, principal_id=ctx.principal_id)
    insert_rows(row, ignore_conflicts=True)


def unwatch_item(item: WorkItem, *, ctx: ActingContext) -> None:
    """End the caller's watch of `item`, if there is one."""
    require_unit_of_work(ctx.tenant_id)
    Watch.objects.filter(tenant_id=item.tenant_id, work_item=item, principal_id=ctx.principal_id).delete()
