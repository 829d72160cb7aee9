"""Publication and retirement of policy versions. At most one version of a policy is in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.drafts.edit import (
    check_is_draft,
    draft_policy_version,
    is_whole,
    version_entry,
)
from policies.drafts.rule_test_results import run_tests_before_locks
from policies.drafts.validation import validate_policy
from policies.lifecycle import POLICY_VERSION, PolicyVersionStatus
from policies.locks import locked_policy_of, locked_version
from policies.models import Policy, PolicyVersion
from policies.publication.announcements import announce_emergency, check_may_announce
from policies.publication.attached import attached_to
from policies.publication.emergencies import note_retired, replace_emergency
from policies.publication.in_force import enqueue_re_evaluation, publication_outcome, put_in_force, supersede_earlier
from policies.publication.rules import Attached, Emergency, check_has_report
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import NotFound, TransitionNotAllowed
from threada_site.tenancy.change_sets import NOT_REPLAYED, operation, require_policy_confirmation
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES, is_four_eyes_required
from threada_site.tenancy.upsert import Change, UpsertResult


def publish_policy_version(
    version: PolicyVersion,
    *,
    ctx: ActingContext,
    applies_to_open: bool = False,
    emergency: Emergency | None = None,
    needs_report: bool = True,
    pointer: str = "",
) -> PolicyVersion:
    """Check a draft and put it in force. `warnings` of the returned version are those of the checks.

    The previous version stays published for the open steps that pin it; with `applies_to_open` they are re-evaluated.
    If the tenant requires four eyes, a person who is independent of the writers and the proposer must confirm it, and a
    replay report is required unless `needs_report` is False. An `emergency` is announced instead: the draft comes into
    force after the notice, until the time box ends (`policies.publication.emergencies`).

    Receipt: `policy.published`, or `policy.emergency_announced`. Raises `VersionNotDraft`, `PolicyDocumentInvalid`,
    `PolicyTestsFailed`, whose pointers start with `pointer`; `ConfirmationRequired`, `ReplayReportRequired`;
    `PersonRequired`, `StepUpRequired`, `EmergencyNotAvailable` and `EmergencyPending` in an emergency.
    """
    require_unit_of_work(ctx.tenant_id)
    if version.status == PolicyVersionStatus.DRAFT:
        run_tests_before_locks(version.document, ctx=ctx)
    policy = locked_policy_of(version, ctx=ctx)
    published = locked_version(version, ctx=ctx)
    check_is_draft(published)
    attached = attached_to(published, ctx=ctx)
    if emergency is None:
        four_eyes = needs_report and is_four_eyes_required(ctx.tenant_id, POLICY_FOUR_EYES)
        check_has_report(attached, four_eyes=four_eyes)
    else:
        check_may_announce(policy, emergency, ctx=ctx)
    validation = validate_policy(published.document, policy=policy, ctx=ctx, pointer=pointer)
    validation.check()
    published.warnings = validation.warnings
    if emergency is not None:
        announce_emergency(published, emergency, policy=policy, applies_to_open=applies_to_open, ctx=ctx)
        return published
    _confirm_publication(policy, published, attached, applies_to_open=applies_to_open, ctx=ctx)
    replaces = policy.in_force_id
    published.revision = ctx.revision or published.revision
    put_in_force(published, policy, by=None if ctx.is_system else ctx.principal_id, ctx=ctx)
    outcome = publication_outcome(replaces=replaces, applies_to_open=applies_to_open, attached=attached)
    record(version_entry("policy.published", published, **outcome), ctx=ctx)
    replace_emergency(policy, by=published, ctx=ctx)
    if applies_to_open:
        supersede_earlier(published, ctx=ctx)
    return published


def retire_policy_version(version: PolicyVersion, *, ctx: ActingContext) -> PolicyVersion:
    """Retire a published version permanently and re-evaluate the open steps that pin it.

    If it was in force, the policy denies (`policy_missing`) until another version is published; no older version is put
    back in force automatically. Receipt: `policy.retired`. Raises `TransitionNotAllowed`.
    """
    require_unit_of_work(ctx.tenant_id)
    policy = locked_policy_of(version, ctx=ctx)
    retired = locked_version(version, ctx=ctx)
    if retired.status == PolicyVersionStatus.DRAFT:
        raise TransitionNotAllowed("A draft cannot be retired. Publish it, or discard it.")
    POLICY_VERSION.check_transition(PolicyVersionStatus(retired.status), PolicyVersionStatus.RETIRED)
    require_policy_confirmation(
        "policy.retire",
        f"Retire version {retired.number} of {policy.slug}",
        arguments={"policy_version_id": str(retired.id)},
        before={"policy": policy.slug, "in_force": policy.in_force_id == retired.id, "document": retired.document},
        after=None,
        ctx=ctx,
    )
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
    enqueue_re_evaluation([retired.id], ctx=ctx)
    return retired


def upsert_policy(slug: str, document: Any, *, ctx: ActingContext, publish: bool = True) -> UpsertResult[PolicyVersion]:
    """Draft `document` as a version of the policy `slug` and publish it.

    It stays a draft if `publish` is False. No replay report is required. Raises the errors of drafting and publishing,
    with pointers into `document`.
    """
    draft = draft_policy_version(slug, document, ctx=ctx, stays_draft=not publish)
    version = draft.row
    if not publish or version.status != PolicyVersionStatus.DRAFT:
        return draft
    version = publish_policy_version(
        version, ctx=ctx, needs_report=False, pointer="/spec" if is_whole(document) else ""
    )
    return UpsertResult(version, Change.CREATED if version.number == 1 else Change.CHANGED)


def _confirm_publication(
    policy: Policy, draft: PolicyVersion, attached: Attached, *, applies_to_open: bool, ctx: ActingContext
) -> None:
    """Raise `ConfirmationRequired` if a second person must publish exactly this text of the draft."""
    current = policy.in_force
    require_policy_confirmation(
        "policy.publish",
        f"Publish version {draft.number} of {policy.slug}",
        arguments={"policy_version_id": str(draft.id), "applies_to_open": applies_to_open},
        before={"policy": policy.slug, "document": current.document} if current else None,
        after={
            "policy": policy.slug,
            "document": draft.document,
            "document_sha256": draft.document_sha256,
            "applies_to_open": applies_to_open,
        },
        ctx=ctx,
        parties=attached.writers,
        replay=attached.report.as_json() if attached.report else NOT_REPLAYED,
    )


@operation("policy.publish", scope=Scope.POLICIES_PUBLISH)
def _publish(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    publish_policy_version(_version(arguments, ctx), ctx=ctx, applies_to_open=arguments["applies_to_open"])


@operation("policy.retire", scope=Scope.POLICIES_PUBLISH)
def _retire(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    retire_policy_version(_version(arguments, ctx), ctx=ctx)


def _version(arguments: Mapping[str, Any], ctx: ActingContext) -> PolicyVersion:
    found = PolicyVersion.objects.filter(tenant_id=ctx.tenant_id, id=arguments["policy_version_id"]).first()
    if found is None:
        raise NotFound
    return found
