"""Check for open work items before a workflow or channel is removed."""

from __future__ import annotations

from typing import Final

from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError, InUse
from workitems.lifecycle import WORK_ITEM
from workitems.models import WorkItem

_NAMED: Final = 10


def check_no_open_cases(kind: str, name: str, ctx: ActingContext) -> None:
    """Raise `InUse` with the first open work items on a workflow or channel, if there are any."""
    rows = WorkItem.objects.filter(tenant_id=ctx.tenant_id, **{kind: name}).exclude(status__in=WORK_ITEM.ends)
    found = list(rows.order_by("id")[: _NAMED + 1])
    if found:
        raise InUse(
            f"There are open work items on the {kind} {name}. End them first.",
            errors=[FieldError("", f"{item.public_id} is {item.status}", "in_use") for item in found[:_NAMED]],
        )
