"""Putting policy versions in force, and taking them out. One version of a policy is in force at a time, or none."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, Final

from policies.lifecycle import POLICY_VERSION, PolicyVersionStatus
from policies.models import PolicyVersion
from policies.services.drafts import (
    check_is_draft,
    draft_policy_version,
    is_whole,
    version_entry,
)
from policies.services.locks import locked_policy_of, locked_version
from policies.services.validation import validate_policy
from telemetry.services.record import record
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.jobs import enqueue
from threada_site.tenancy.puts import Change, Put
from threada_site.tenancy.unit_of_work import require_unit_of_work

RESEAL: Final = "workitems.reseal"
"""The task that supersedes the open steps that pin any of `policy_version_ids` (UUIDs as text) and decides anew."""


def publish_policy_version(
    version: PolicyVersion, *, ctx: ActingContext, applies_to_open: bool = False, pointer: str = ""
) -> PolicyVersion:
    """Put a draft in force, if it passes its checks. The version in force before stays published, for the open steps
    that pin it; with `applies_to_open` those are decided anew.

    Receipt: `policy.published`. Raises `VersionNotDraft`, `PolicyDocumentInvalid`, `PolicyTestsFailed`; their pointers
    start with `pointer`.
    """
    require_unit_of_work(ctx.tenant_id)
    policy = locked_policy_of(version, ctx=ctx)
    published = locked_version(version, ctx=ctx)
    check_is_draft(published)
    validate_policy(published.document, policy=policy, ctx=ctx, pointer=pointer).check()
    replaces = policy.in_force_id
    published.status = PolicyVersionStatus.PUBLISHED
    published.published_by = None if ctx.is_system else ctx.principal_id
    published.published_at = clock.now()
    published.save(update_fields=["status", "published_by", "published_at"])
    policy.in_force = published
    policy.save(update_fields=["in_force"])
    published.policy = policy
    record(
        version_entry(
            "policy.published",
            published,
            replaces=ids.public_id(ids.POLICY_VERSION, replaces) if replaces else None,
            applies_to_open=applies_to_open,
        ),
        ctx=ctx,
    )
    if applies_to_open:
        _reseal(_supersede_earlier(published, ctx=ctx), ctx=ctx)
    return published


def retire_policy_version(version: PolicyVersion, *, ctx: ActingContext) -> PolicyVersion:
    """Take a published version out for good; open steps that pin it are decided anew.

    If it was in force, nothing is now, and the policy denies (`policy_missing`) until another version is published: an
    older one never comes back by itself. Receipt: `policy.retired`. Raises `TransitionNotAllowed`.
    """
    require_unit_of_work(ctx.tenant_id)
    policy = locked_policy_of(version, ctx=ctx)
    retired = locked_version(version, ctx=ctx)
    POLICY_VERSION.check_transition(PolicyVersionStatus(retired.status), PolicyVersionStatus.RETIRED)
    retired.status = PolicyVersionStatus.RETIRED
    retired.retired_by = None if ctx.is_system else ctx.principal_id
    retired.retired_at = clock.now()
    retired.save(update_fields=["status", "retired_by", "retired_at"])
    was_in_force = policy.in_force_id == retired.id
    if was_in_force:
        policy.in_force = None
        policy.save(update_fields=["in_force"])
    retired.policy = policy
    record(version_entry("policy.retired", retired, was_in_force=was_in_force), ctx=ctx)
    _reseal([retired.id], ctx=ctx)
    return retired


def put_policy(slug: str, document: Any, *, ctx: ActingContext, publish: bool = True) -> Put[PolicyVersion]:
    """Have the policy `slug` say what `document` says: in force, or as a draft without `publish`.

    Raises what drafting and publishing raise, with pointers into `document`.
    """
    draft = draft_policy_version(slug, document, ctx=ctx)
    version = draft.row
    if not publish or version.status != PolicyVersionStatus.DRAFT:
        return draft
    version = publish_policy_version(version, ctx=ctx, pointer="/spec" if is_whole(document) else "")
    return Put(version, Change.CREATED if version.number == 1 else Change.CHANGED)


def _supersede_earlier(published: PolicyVersion, *, ctx: ActingContext) -> list[uuid.UUID]:
    """Have the steps that pin an earlier version take no more votes from now on; the ids of those versions.

    Waits for the votes that are being cast on them: what commits later sees the change.
    """
    rows = PolicyVersion.objects.filter(
        tenant_id=ctx.tenant_id, policy_id=published.policy_id, status=PolicyVersionStatus.PUBLISHED
    ).exclude(id=published.id)
    earlier = list(rows.select_for_update(no_key=True).order_by("id").values_list("id", flat=True))
    rows.filter(id__in=earlier, superseded_at=None).update(superseded_at=published.published_at)
    return earlier


def _reseal(version_ids: Iterable[uuid.UUID], *, ctx: ActingContext) -> None:
    named = sorted(str(version_id) for version_id in version_ids)
    if named:
        enqueue(RESEAL, tenant_id=ctx.tenant_id, policy_version_ids=named)
