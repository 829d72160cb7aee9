"""Rows that people name: found and locked, or made, without a race."""

from __future__ import annotations

from typing import Any, cast

from policies.models import Channel, List, Policy, Workflow
from threada_site.kernel.context import ActingContext


def locked_by_slug[Row: (Channel, List, Policy, Workflow)](
    model: type[Row], slug: str, *, ctx: ActingContext
) -> tuple[Row, bool]:
    """The locked row named `slug`, made if there is none, and whether it was made.

    Of two that make it at once, the second waits and finds it.
    """
    manager = cast("Any", model).objects
    rows = manager.select_for_update(no_key=True).filter(tenant_id=ctx.tenant_id, slug=slug)
    existing = rows.first()
    if existing is not None:
        return existing, False
    made = model(tenant_id=ctx.tenant_id, slug=slug)
    manager.bulk_create([made], ignore_conflicts=True)
    row = rows.get()
    return row, row.id == made.id
