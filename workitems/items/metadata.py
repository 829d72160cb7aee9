"""Changes of the metadata of a work item, which no rule and no envelope reads."""

from __future__ import annotations

from collections.abc import Mapping

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.json.canonical import commitment
from workitems.items.erasable_fields import require_contents
from workitems.items.labels import metadata_label, new_label
from workitems.items.receipts import record_item
from workitems.lifecycle import WORK_ITEM, WorkItemStatus
from workitems.models import ItemLabel, WorkItem


def edit_metadata(item: WorkItem, metadata: Mapping[str, str], *, ctx: ActingContext) -> None:
    """Replace the metadata of an open, locked item, and the labels by which lists find it.

    Approvals stay valid. The metadata of an ended item stay as they are, because retention counts from its last change.
    Receipt `work_item.metadata_changed`, unless nothing changes. Raise `PermissionDenied`, `TransitionNotAllowed` and
    `ContentsRemoved`.
    """
    require_unit_of_work(ctx.tenant_id)
    if not ctx.allows(Scope.WORKITEMS_WRITE, workflow=item.workflow_version.workflow_id):
        raise errors.PermissionDenied(f"You do not hold workitems:write on the workflow {item.workflow}.")
    require_contents(item)
    if not WORK_ITEM.is_open(WorkItemStatus(item.status)):
        raise errors.TransitionNotAllowed(f"The work item is {item.status}. Its metadata can no longer be changed.")
    if item.metadata == metadata:
        return
    before, after = ({metadata_label(*entry) for entry in entries.items()} for entries in (item.metadata, metadata))
    rows = ItemLabel.objects.filter(tenant_id=item.tenant_id, work_item_id=item.id)
    rows.filter(label__in=before - after).delete()
    ItemLabel.objects.bulk_create(new_label(item, label) for label in sorted(after - before))
    item.metadata = dict(metadata)
    item.updated_at = clock.now()
    item.save(update_fields=["metadata", "updated_at"])
    inputs = {"metadata_commitment": commitment(bytes(item.payload_salt), item.metadata)}
    record_item("work_item.metadata_changed", item, ctx=ctx, inputs=inputs, outcome={"entries": len(item.metadata)})
