"""What is attached to a draft when it is to be published."""

from __future__ import annotations

from policies.models import PolicyVersion
from policies.publication import Attached
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Membership


def attached_to(draft: PolicyVersion, *, ctx: ActingContext) -> Attached:
    """Who wrote the draft, with the people who answer for agents and services among them."""
    writers = set(draft.written_by)
    owned = Membership.objects.filter(tenant_id=ctx.tenant_id, user_id__in=writers, owner__isnull=False)
    return Attached(frozenset(writers | {owner for owner in owned.values_list("owner_id", flat=True) if owner}))
