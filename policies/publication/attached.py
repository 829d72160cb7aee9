"""Writers and replay report of a draft, needed to check its publication."""

from __future__ import annotations

from django.db.models import Q

from policies.lifecycle import ReplayStatus
from policies.models import PolicyVersion
from policies.publication.rules import Attached, Report
from policies.replay.models import PolicyReplay
from policies.replay.request import Against
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Membership


def attached_to(draft: PolicyVersion, *, ctx: ActingContext) -> Attached:
    """Return the writers of the draft, including owners of agents and services, and its replay report."""
    writers = set(draft.written_by)
    owned = Membership.objects.filter(tenant_id=ctx.tenant_id, user_id__in=writers, owner__isnull=False)
    owners = {owner for owner in owned.values_list("owner_id", flat=True) if owner}
    return Attached(frozenset(writers | owners), _report_on(draft, ctx=ctx))


def _report_on(draft: PolicyVersion, *, ctx: ActingContext) -> Report | None:
    """Return the newest finished replay of the current text of the draft, or None.

    A replay with a baseline version counts only while that version is in force, because it ignores later changes.
    """
    finished = PolicyReplay.objects.filter(
        tenant_id=ctx.tenant_id,
        policy_id=draft.policy_id,
        document_sha256=draft.document_sha256,
        status=ReplayStatus.FINISHED,
    )
    of_use = Q(against=Against.RECORDED) | Q(baseline_id=draft.policy.in_force_id)
    found = finished.filter(of_use).order_by("-finished_at").first()
    if found is None or found.finished_at is None:
        return None
    return Report(found.public_id, found.replayed, found.flipped, found.not_replayable, found.finished_at)
