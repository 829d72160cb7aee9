"""Row locks by name. Lock order: policy, then version or overlay.

Channels, workflows, lists and policies are fetched or created without a race.
"""

from __future__ import annotations

from typing import Any, cast

from policies.models import Channel, List, Overlay, Pack, Policy, PolicyVersion, Workflow
from threada_site.kernel.context import ActingContext


def locked_by_slug[Row: (Channel, List, Pack, Policy, Workflow)](
    model: type[Row], slug: str, *, ctx: ActingContext
) -> tuple[Row, bool]:
    """Lock the row `slug`, creating it if necessary. Return the row, and True if it was created.

    Of two concurrent creations, the second waits and finds the row.
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


def lock_list(slug: str, *, ctx: ActingContext) -> None:
    """Lock the list `slug` if there is one."""
    List.objects.select_for_update(no_key=True).filter(tenant_id=ctx.tenant_id, slug=slug).first()


def lock_pack(slug: str, *, ctx: ActingContext) -> None:
    """Lock the pack `slug` if there is one. Its documents are locked after it."""
    Pack.objects.select_for_update(no_key=True).filter(tenant_id=ctx.tenant_id, slug=slug).first()


def locked_policy_of(row: PolicyVersion | Overlay, *, ctx: ActingContext) -> Policy:
    """Lock and return the policy of a version or an overlay."""
    return Policy.objects.select_for_update(no_key=True).get(tenant_id=ctx.tenant_id, id=row.policy_id)


def locked_version(version: PolicyVersion, *, ctx: ActingContext) -> PolicyVersion:
    """Lock and return the current row of `version`."""
    rows = PolicyVersion.objects.select_for_update(of=("self",), no_key=True).select_related("policy")
    return rows.get(tenant_id=ctx.tenant_id, id=version.id)
