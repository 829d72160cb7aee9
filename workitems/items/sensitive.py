"""Work items with a sensitive data class: lists omit their contents, and reading them leaves a receipt.

The data classes are those of `THREADA_SENSITIVE_DATA_CLASSES`.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery

from integrations.models import Execution
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext
from workitems.items.receipts import record_item
from workitems.models import WorkItem

_OMITTED: Final = "contents_are_omitted"
_REMEMBER: Final = """
INSERT INTO workitems_casereading AS known (id, tenant_id, work_item_id, principal_id, recorded_at)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (tenant_id, principal_id, work_item_id) DO UPDATE SET recorded_at = excluded.recorded_at
WHERE known.recorded_at <= excluded.recorded_at - interval '1 hour'
RETURNING 1
"""


def is_sensitive(data_class: str | None) -> bool:
    """Return True if the instance treats this data class as sensitive."""
    return data_class in settings.THREADA_SENSITIVE_DATA_CLASSES


def record_reading(item: WorkItem, *, ctx: ActingContext, execution: Execution | None = None) -> None:
    """Write the receipt `work_item.read` if the item is sensitive: at most one per principal, case and hour.

    Runs no statement for other items.
    """
    if not is_sensitive(item.data_class):
        return
    with connection.cursor() as cursor:
        cursor.execute(_REMEMBER, [ids.new_uuid(), item.tenant_id, item.id, ctx.principal_id, clock.now()])
        is_first = cursor.fetchone() is not None
    if is_first:
        record_item("work_item.read", item, ctx=ctx, execution=execution, inputs={"data_class": item.data_class})


def record_reading_of(work_item_id: uuid.UUID, *, ctx: ActingContext) -> None:
    """Call `record_reading` with the work item of this id. For `THREADA_CASE_READING_HANDLER`."""
    item = WorkItem.objects.filter(tenant_id=ctx.tenant_id, id=work_item_id).first()
    if item is not None:
        record_reading(item, ctx=ctx)


def listed[R: Any](row: R, data_class: str) -> R:
    """Return `row` of a list, marked if its contents are to be omitted."""
    setattr(row, _OMITTED, is_sensitive(data_class))
    return row


def omits_contents(row: Any) -> bool:
    """Return True if `listed` marked the row."""
    return bool(getattr(row, _OMITTED, False))


def with_data_class(executions: QuerySet[Execution]) -> QuerySet[Any]:
    """Annotate executions with the data class of their work items."""
    items = WorkItem.objects.filter(tenant_id=OuterRef("tenant_id"), id=OuterRef("work_item_id"))
    return executions.annotate(data_class=Subquery(items.values("data_class")))
