"""Row locks by name. Lock order: policy, then version.

Channels, workflows, lists and policies are fetched or created without a race.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any, cast

from django.db import connection

from policies.models import Channel, List, Pack, Policy, PolicyVersion, Workflow
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


def locked_policy_of(version: PolicyVersion, *, ctx: ActingContext) -> Policy:
    """Lock and return the policy of `version`."""
    return Policy.objects.select_for_update(no_key=True).get(tenant_id=ctx.tenant_id, id=version.policy_id)


def locked_version(version: PolicyVersion, *, ctx: ActingContext) -> PolicyVersion:
    """Lock and return the current row of `version`."""
    rows = PolicyVersion.objects.select_for_update(of=("self",), no_key=True).select_related("policy")
    return rows.get(tenant_id=ctx.tenant_id, id=version.id)


def lock_pins(version_ids: Collection[uuid.UUID], *, tenant_id: uuid.UUID) -> bool:
    """Lock the pinned versions. Return True if steps that pin them still accept votes, until the transaction ends.

    Retiring a version, or publishing one with `applies_to_open`, waits for these locks; later votes see the change. So
    a vote is either committed before the rules change, or refused.
    """
    if not version_ids:
        return True
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT status = 'published' AND superseded_at IS NULL FROM policies_policyversion "
            "WHERE tenant_id = %s AND id = ANY(%s) ORDER BY id FOR SHARE",
            [tenant_id, sorted(version_ids)],
        )
        return all(takes_votes for (takes_votes,) in cursor.fetchall())
