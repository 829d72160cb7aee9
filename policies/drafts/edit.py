"""Drafts: policy versions that are not in force and can still change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from django.db.models import Max

from policies.documents.policy import parse_policy
from policies.drafts.rule_test_results import run_tests_before_locks
from policies.drafts.validation import check_overrides, validate_policy
from policies.lifecycle import PolicyVersionStatus
from policies.locks import locked_by_slug, locked_version
from policies.models import Policy, PolicyVersion
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError, PolicyDocumentInvalid, VersionNotDraft
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.quotas.kinds import Quota
from threada_site.tenancy.quotas.require import require_quota
from threada_site.tenancy.upsert import Change, UpsertResult
from threada_site.tenancy.versioned_documents import store_source

RESERVED: Final = frozenset({"effective"})
"""Ids that are not allowed, because `/policies/effective` is an endpoint."""


def draft_policy_version(
    slug: str, document: Any, *, ctx: ActingContext, stays_draft: bool = True
) -> UpsertResult[PolicyVersion]:
    """Create a draft of the policy `slug` with the contents of `document`. The first draft creates the policy.

    `document` is a whole document or a bare spec. If the version in force or a draft has the same contents, that one is
    returned unchanged. Receipt: `policy.version_drafted`. A draft that the caller publishes at once (`stays_draft` is
    False) is not limited by the quota. Raises `PolicyDocumentInvalid`, `PolicyTestsFailed`, `QuotaExceeded`.
    """
    require_unit_of_work(ctx.tenant_id)
    spec = policy_spec(document, slug=slug)
    check_overrides(spec, slug=slug, ctx=ctx, pointer=_base(document))
    spec_sha256 = canonical_sha256(spec)
    _run_tests_of_new(spec, spec_sha256, slug=slug, ctx=ctx)
    policy, _ = locked_by_slug(Policy, slug, ctx=ctx)
    versions = PolicyVersion.objects.filter(tenant_id=ctx.tenant_id, policy=policy)
    same = versions.filter(document_sha256=spec_sha256).select_related("policy").order_by("number")
    alive = [row for row in same if row.id == policy.in_force_id or row.status == PolicyVersionStatus.DRAFT]
    if alive:
        _keep_source(alive[0], ctx=ctx)
        return UpsertResult(alive[0], Change.UNCHANGED)
    if stays_draft:
        require_quota(Quota.POLICY_DRAFTS, ctx=ctx)
    _check_what_it_says(spec, policy=policy, ctx=ctx, pointer=_base(document))
    version = PolicyVersion.objects.create(
        tenant_id=ctx.tenant_id,
        policy=policy,
        number=(versions.aggregate(last=Max("number"))["last"] or 0) + 1,
        document=spec,
        document_sha256=spec_sha256,
        revision=ctx.revision,
        created_by=None if ctx.is_system else ctx.principal_id,
        written_by=[] if ctx.is_system else [ctx.principal_id],
    )
    _keep_source(version, ctx=ctx)
    record(version_entry("policy.version_drafted", version), ctx=ctx)
    return UpsertResult(version, Change.CREATED)


def edit_draft(version: PolicyVersion, document: Any, *, ctx: ActingContext) -> UpsertResult[PolicyVersion]:
    """Replace the contents of a draft. Its editor becomes one of its writers.

    Receipt: `policy.version_edited`. Raises `VersionNotDraft`, `PolicyDocumentInvalid`, `PolicyTestsFailed`.
    """
    require_unit_of_work(ctx.tenant_id)
    spec = policy_spec(document, slug=version.policy.slug)
    spec_sha256 = canonical_sha256(spec)
    if version.status == PolicyVersionStatus.DRAFT and version.document_sha256 != spec_sha256:
        run_tests_before_locks(spec, ctx=ctx)
    draft = locked_version(version, ctx=ctx)
    check_is_draft(draft)
    check_overrides(spec, slug=draft.policy.slug, ctx=ctx, pointer=_base(document))
    if draft.document_sha256 == spec_sha256:
        _keep_source(draft, ctx=ctx)
        return UpsertResult(draft, Change.UNCHANGED)
    _check_what_it_says(spec, policy=draft.policy, ctx=ctx, pointer=_base(document))
    draft.document = spec
    draft.document_sha256 = spec_sha256
    draft.created_by = None if ctx.is_system else ctx.principal_id
    if not ctx.is_system and ctx.principal_id not in draft.written_by:
        draft.written_by = [*draft.written_by, ctx.principal_id]
    draft.save(update_fields=["document", "document_sha256", "created_by", "written_by"])
    _keep_source(draft, ctx=ctx)
    record(version_entry("policy.version_edited", draft), ctx=ctx)
    return UpsertResult(draft, Change.CHANGED)


def discard_draft(version: PolicyVersion, *, ctx: ActingContext) -> PolicyVersion:
    """Retire a draft that is not to be published. Receipt: `policy.retired`. Raises `VersionNotDraft`."""
    require_unit_of_work(ctx.tenant_id)
    draft = locked_version(version, ctx=ctx)
    check_is_draft(draft)
    draft.status = PolicyVersionStatus.RETIRED
    draft.retired_by = None if ctx.is_system else ctx.principal_id
    draft.retired_at = clock.now()
    draft.save(update_fields=["status", "retired_by", "retired_at"])
    record(version_entry("policy.retired", draft, was_in_force=False), ctx=ctx)
    return draft


def _keep_source(version: PolicyVersion, *, ctx: ActingContext) -> None:
    store_source("Policy", version.policy.slug, version.document_sha256, ctx.source, ctx=ctx)


def policy_spec(document: Any, *, slug: str) -> dict[str, Any]:
    """Return the spec of a document, the part that is stored.

    Raises `PolicyDocumentInvalid` if the document is invalid or its id is not `slug`.
    """
    parsed = parse_policy(document)
    if slug in RESERVED:
        raise PolicyDocumentInvalid(errors=[FieldError("/id", f"{slug} is reserved by the API. Choose another id.")])
    if parsed.id is not None and parsed.id != slug:
        raise PolicyDocumentInvalid(errors=[FieldError("/id", f"This document is of the policy {slug}. Write {slug}.")])
    return dict(document["spec"] if is_whole(document) else document)


def _run_tests_of_new(spec: dict[str, Any], spec_sha256: str, *, slug: str, ctx: ActingContext) -> None:
    """Run the tests before the policy is locked, unless a version with these contents exists."""
    if not spec.get("tests"):
        return
    same = PolicyVersion.objects.filter(tenant_id=ctx.tenant_id, policy__slug=slug, document_sha256=spec_sha256)
    if not same.exists():
        run_tests_before_locks(spec, ctx=ctx)


def _base(document: Any) -> str:
    return "/spec" if is_whole(document) else ""


def _check_what_it_says(spec: dict[str, Any], *, policy: Policy, ctx: ActingContext, pointer: str) -> None:
    """Run the checks of publishing, except that a policy whose rules are overridden need not be in force yet."""
    found = validate_policy(spec, policy=policy, ctx=ctx, pointer=pointer)
    replace(found, override_errors=()).check()


def is_whole(document: Any) -> bool:
    """Return True if a valid document has a header, so that its spec is at `/spec`."""
    return isinstance(document, Mapping) and ("kind" in document or "spec" in document)


def check_is_draft(version: PolicyVersion) -> None:
    """Raise `VersionNotDraft` if the version is not a draft."""
    if version.status != PolicyVersionStatus.DRAFT:
        raise VersionNotDraft(f"Version {version.number} is {version.status}. Create a new draft.")


def version_entry(kind: str, version: PolicyVersion, **outcome: Any) -> Entry:
    """Return the receipt of an action on a policy version. It contains the digest, never the text."""
    return Entry(
        kind=kind,
        subject=Subject(policy_version_id=version.id, status=version.status),
        policy={
            "policy": version.policy.slug,
            "number": version.number,
            "document_sha256": version.document_sha256,
        },
        outcome={"status": version.status, **outcome},
    )
