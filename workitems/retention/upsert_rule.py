"""Creation, change and withdrawal of retention rules."""

from __future__ import annotations

from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.upsert import Change, UpsertResult, next_number
from workitems.models import RetentionRule, RetentionRuleVersion
from workitems.retention.locks import lock_retention
from workitems.retention.rules import RetentionDocument


def upsert_retention_rule(slug: str, document: RetentionDocument, *, ctx: ActingContext) -> UpsertResult[RetentionRule]:
    """Create or change the rule `slug`, effective from the next dry run on.

    A run in progress removes only what both versions allow. Receipt: `retention_rule.version_added`. Raise
    `PermissionDenied`, and `Conflict` if another rule has the same workflow and data class.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    lock_retention(ctx.tenant_id)
    rule = RetentionRule.objects.filter(tenant_id=ctx.tenant_id, slug=slug).select_related("current_version").first()
    spec = document.as_spec()
    spec_sha256 = canonical_sha256(spec)
    current = rule.current_version if rule else None
    if rule is not None and current is not None and current.spec_sha256 == spec_sha256:
        return UpsertResult(rule, Change.UNCHANGED)
    _check_scope(slug, document, ctx=ctx)
    rule = rule or RetentionRule(tenant_id=ctx.tenant_id, slug=slug)
    rule.workflow, rule.data_class = document.workflow, document.data_class
    rule.save()
    version = RetentionRuleVersion.objects.create(
        tenant_id=ctx.tenant_id,
        rule=rule,
        number=next_number(rule.versions),
        revision=ctx.revision,
        spec=spec,
        spec_sha256=spec_sha256,
        created_by=None if ctx.is_system else ctx.principal_id,
    )
    rule.current_version = version
    rule.save(update_fields=["current_version"])
    record(
        Entry(
            kind="retention_rule.version_added",
            subject=Subject(workflow=document.workflow),
            inputs={"rule": slug, "spec": spec, "spec_sha256": spec_sha256},
            outcome={
                "retention_version_id": version.public_id,
                "number": version.number,
                "replaces": ids.public_id(ids.RETENTION_VERSION, current.id) if current else None,
            },
        ),
        ctx=ctx,
    )
    return UpsertResult(rule, Change.CREATED if current is None else Change.CHANGED)


def withdraw_retention(slug: str, *, ctx: ActingContext) -> None:
    """Withdraw a rule. Its data is kept from now on. Receipt `retention_rule.withdrawn`."""
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    lock_retention(ctx.tenant_id)
    rule = RetentionRule.objects.filter(tenant_id=ctx.tenant_id, slug=slug).first()
    if rule is None:
        raise errors.NotFound
    rule.current_version = None
    rule.save(update_fields=["current_version"])
    record(
        Entry(kind="retention_rule.withdrawn", subject=Subject(workflow=rule.workflow), inputs={"rule": slug}), ctx=ctx
    )


def _check_scope(slug: str, document: RetentionDocument, *, ctx: ActingContext) -> None:
    same = RetentionRule.objects.filter(
        tenant_id=ctx.tenant_id,
        workflow=document.workflow,
        data_class=document.data_class,
        current_version__isnull=False,
    ).exclude(slug=slug)
    other = same.values_list("slug", flat=True).first()
    if other is not None:
        raise errors.Conflict(f"The rule {other} has the same workflow and data class. Change that rule.")
