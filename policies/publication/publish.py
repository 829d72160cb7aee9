"""Publication and retirement of policy versions. At most one version of a policy is in force."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from policies.drafts.edit import (
    check_is_draft,
    draft_policy_version,
    is_whole,
    version_entry,
)
from policies.drafts.validation import check_limits, validate_policy
from policies.lifecycle import POLICY_VERSION, PolicyVersionStatus
from policies.locks import locked_policy_of, locked_version
from policies.models import PolicyVersion
from policies.publication.attached import attached_to
from policies.publication.emergencies import RE_EVALUATE_FOR_POLICIES, note_retired, open_emergency, replace_emergency
from policies.publication.rules import Emergency, check_may_publish, check_may_publish_alone
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.jobs.enqueue import enqueue
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import commitment
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES, is_four_eyes_required
from threada_site.tenancy.upsert import Change, UpsertResult


def publish_policy_version(
    version: PolicyVersion,
    *,
    ctx: ActingContext,
    applies_to_open: bool = False,
    emergency: Emergency | None = None,
    pointer: str = "",
) -> PolicyVersion:
    """Check a draft and put it in force. `warnings` of the returned version are those of the checks.

    The previous version stays published for the open steps that pin it; with `applies_to_open` they are re-evaluated.
    If the tenant requires four eyes, a person other than the writers must publish, and a replay report is required; in
    an `emergency` one person suffices until the time box ends (`policies.publication.emergencies`).

    Receipt: `policy.published`, or `policy.published_in_emergency`. Raises `VersionNotDraft`, `PolicyDocumentInvalid`,
    `PolicyTestsFailed`, whose pointers start with `pointer`; `PersonRequired`, `SecondPersonRequired`,
    `ReplayReportRequired`, `EmergencyPending`.
    """
    require_unit_of_work(ctx.tenant_id)
    policy = locked_policy_of(version, ctx=ctx)
    published = locked_version(version, ctx=ctx)
    check_is_draft(published)
    attached = attached_to(published, ctx=ctx)
    if emergency is None:
        four_eyes = is_four_eyes_required(ctx.tenant_id, POLICY_FOUR_EYES)
        check_may_publish(attached, four_eyes=four_eyes, ctx=ctx)
    else:
        check_may_publish_alone(ctx)
        emergency.check()
    validation = validate_policy(published.document, policy=policy, ctx=ctx, pointer=pointer)
    validation.check()
    published.warnings = validation.warnings
    replaces = policy.in_force_id
    published.status = PolicyVersionStatus.PUBLISHED
    published.published_by = None if ctx.is_system else ctx.principal_id
    published.published_at = clock.now()
    published.revision = ctx.revision or published.revision
    published.save(update_fields=["status", "published_by", "published_at", "revision"])
    policy.in_force = published
    policy.save(update_fields=["in_force"])
    check_limits(policy, ctx=ctx)
    published.policy = policy
    outcome: dict[str, Any] = {
        "replaces": ids.public_id(ids.POLICY_VERSION, replaces) if replaces else None,
        "applies_to_open": applies_to_open,
        "replay": attached.report.replay_id if attached.report else None,
    }
    if emergency is None:
        record(version_entry("policy.published", published, **outcome), ctx=ctx)
        replace_emergency(policy, by=published, ctx=ctx)
    else:
        opened = open_emergency(published, emergency, policy=policy, replaces=replaces, ctx=ctx)
        outcome |= {
            "ends_at": clock.rfc3339(opened.ends_at),
            "reason_commitment": commitment(bytes(opened.reason_salt), opened.reason),
        }
        record(version_entry("policy.published_in_emergency", published, **outcome), ctx=ctx)
    if applies_to_open:
        _enqueue_re_evaluation(_supersede_earlier(published, ctx=ctx), ctx=ctx)
    return published


def retire_policy_version(version: PolicyVersion, *, ctx: ActingContext) -> PolicyVersion:
    """Retire a published version permanently and re-evaluate the open steps that pin it.

    If it was in force, the policy denies (`policy_missing`) until another version is published; no older version is put
    back in force automatically. Receipt: `policy.retired`. Raises `TransitionNotAllowed`.
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
        note_retired(policy, ctx=ctx)
    retired.policy = policy
    record(version_entry("policy.retired", retired, was_in_force=was_in_force), ctx=ctx)
    _enqueue_re_evaluation([retired.id], ctx=ctx)
    return retired


def upsert_policy(slug: str, document: Any, *, ctx: ActingContext, publish: bool = True) -> UpsertResult[PolicyVersion]:
    """Draft `document` as a version of the policy `slug` and publish it.

    It stays a draft if `publish` is False or the tenant requires four eyes. Raises the errors of drafting and
    publishing, with pointers into `document`.
    """
    draft = draft_policy_version(slug, document, ctx=ctx)
    version = draft.row
    if not publish or version.status != PolicyVersionStatus.DRAFT:
        return draft
    if is_four_eyes_required(ctx.tenant_id, POLICY_FOUR_EYES):
        return draft
    version = publish_policy_version(version, ctx=ctx, pointer="/spec" if is_whole(document) else "")
    return UpsertResult(version, Change.CREATED if version.number == 1 else Change.CHANGED)


def _supersede_earlier(published: PolicyVersion, *, ctx: ActingContext) -> list[uuid.UUID]:
    """Stop votes on steps that pin an earlier version. Return the ids of those versions.

    Waits for votes in progress on these steps; later votes see the change.
    """
    rows = PolicyVersion.objects.filter(
        tenant_id=ctx.tenant_id, policy_id=published.policy_id, status=PolicyVersionStatus.PUBLISHED
    ).exclude(id=published.id)
    earlier = list(rows.select_for_update(no_key=True).order_by("id").values_list("id", flat=True))
    rows.filter(id__in=earlier, superseded_at=None).update(superseded_at=published.published_at)
    return earlier


def _enqueue_re_evaluation(version_ids: Iterable[uuid.UUID], *, ctx: ActingContext) -> None:
    named = sorted(str(version_id) for version_id in version_ids)
    if named:
        enqueue(RE_EVALUATE_FOR_POLICIES, tenant_id=ctx.tenant_id, policy_version_ids=named)
