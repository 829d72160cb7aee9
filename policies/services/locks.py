"""Locks, by name. Whoever takes several takes the policy's first, then the version's.

Channels, workflows, lists and policies are found or made without a race.
"""

from __future__ import annotations

from typing import Any, cast

from policies.models import Channel, List, Policy, PolicyVersion, Workflow
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


def locked_policy_of(version: PolicyVersion, *, ctx: ActingContext) -> Policy:
    """The policy that `version` belongs to, as it is now."""
    return Policy.objects.select_for_update(no_key=True).get(tenant_id=ctx.tenant_id, id=version.policy_id)


def locked_version(version: PolicyVersion, *, ctx: ActingContext) -> PolicyVersion:
    """`version` as it is now."""
    rows = PolicyVersion.objects.select_for_update(of=("self",), no_key=True).select_related("policy")
    return rows.get(tenant_id=ctx.tenant_id, id=version.id)
