"""Effect of a publication: the version in force, the versions it supersedes, and the open steps that pin them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, Final

from policies.drafts.validation import check_limits
from policies.lifecycle import PolicyVersionStatus
from policies.models import Policy, PolicyVersion
from policies.publication.rules import Attached
from threada_site.jobs.enqueue import enqueue
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext

RE_EVALUATE_FOR_POLICIES: Final = "workitems.re_evaluate_for_policies"
"""Task that supersedes open steps pinning one of `policy_version_ids` (UUIDs as text) and re-evaluates them."""


def put_in_force(version: PolicyVersion, policy: Policy, *, by: uuid.UUID | None, ctx: ActingContext) -> None:
    """Mark a locked draft as published and in force. Raise the refusals of `check_limits`."""
    version.status = PolicyVersionStatus.PUBLISHED
    version.published_by = by
    version.published_at = clock.now()
    version.save(update_fields=["status", "published_by", "published_at", "revision"])
    policy.in_force = version
    policy.save(update_fields=["in_force"])
    check_limits(policy, ctx=ctx)
    version.policy = policy


def publication_outcome(*, replaces: uuid.UUID | None, applies_to_open: bool, attached: Attached) -> dict[str, Any]:
    """Return the outcome of a publication for its receipt."""
    return {
        "replaces": ids.public_id(ids.POLICY_VERSION, replaces) if replaces else None,
        "applies_to_open": applies_to_open,
        "replay": attached.report.replay_id if attached.report else None,
    }


def supersede_earlier(published: PolicyVersion, *, ctx: ActingContext) -> None:
    """Stop votes on steps that pin an earlier version, and enqueue their re-evaluation.

    Waits for votes in progress on these steps; later votes see the change.
    """
    rows = PolicyVersion.objects.filter(
        tenant_id=ctx.tenant_id, policy_id=published.policy_id, status=PolicyVersionStatus.PUBLISHED
    ).exclude(id=published.id)
    earlier = list(rows.select_for_update(no_key=True).order_by("id").values_list("id", flat=True))
    rows.filter(id__in=earlier, superseded_at=None).update(superseded_at=published.published_at)
    enqueue_re_evaluation(earlier, ctx=ctx)


def enqueue_re_evaluation(version_ids: Iterable[uuid.UUID], *, ctx: ActingContext) -> None:
    """Enqueue the re-evaluation of open steps that pin these versions."""
    named = sorted(str(version_id) for version_id in version_ids)
    if named:
        enqueue(RE_EVALUATE_FOR_POLICIES, tenant_id=ctx.tenant_id, policy_version_ids=named)
