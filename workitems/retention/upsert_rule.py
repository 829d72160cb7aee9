"""Creation, change and withdrawal of retention rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.change_sets import operation, require_policy_confirmation
from threada_site.tenancy.upsert import Change, UpsertResult
from threada_site.tenancy.versioned_documents import put_version, says_already
from workitems.models import RetentionRule
from workitems.retention.locks import lock_retention
from workitems.retention.rules import RetentionDocument, parse_retention


def upsert_retention_rule(slug: str, document: RetentionDocument, *, ctx: ActingContext) -> UpsertResult[RetentionRule]:
    """Create or change the rule `slug`, effective from the next dry run on.

    A run in progress removes only what both versions allow. Receipt: `retention_rule.version_added`. Raise
    `PermissionDenied`, and `Conflict` if another rule has the same workflow and data class.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    lock_retention(ctx=ctx)
    rule = RetentionRule.objects.filter(tenant_id=ctx.tenant_id, slug=slug).select_related("current_version").first()
    spec = document.as_spec()
    if rule is not None and says_already(rule, spec):
        return UpsertResult(rule, Change.UNCHANGED)
    _check_scope(slug, document, ctx=ctx)
    require_policy_confirmation(
        "retention_rule.put",
        f"Change the retention rule {slug}",
        arguments={"rule": slug, "spec": spec},
        before={"rule": slug, "spec": rule.current_version.spec} if rule and rule.current_version else None,
        after={"rule": slug, "spec": spec},
        ctx=ctx,
    )
    rule = rule or RetentionRule(tenant_id=ctx.tenant_id, slug=slug)
    rule.workflow, rule.data_class = document.workflow, document.data_class
    rule.save(update_fields=None if rule._state.adding else ["workflow", "data_class"])
    put = put_version(rule, spec, ctx=ctx)
    record(
        Entry(
            kind="retention_rule.version_added",
            subject=Subject(workflow=document.workflow),
            inputs={"rule": slug, "spec": spec, "spec_sha256": put.version.spec_sha256},
            outcome={"retention_version_id": put.version.public_id, **put.as_outcome()},
        ),
        ctx=ctx,
    )
    return UpsertResult(rule, put.change)


def withdraw_retention(slug: str, *, ctx: ActingContext) -> None:
    """Withdraw a rule. Its data is kept from now on. Receipt `retention_rule.withdrawn`."""
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    lock_retention(ctx=ctx)
    rule = RetentionRule.objects.filter(tenant_id=ctx.tenant_id, slug=slug).first()
    if rule is None:
        raise errors.NotFound
    if rule.current_version is not None:
        require_policy_confirmation(
            "retention_rule.withdraw",
            f"Withdraw the retention rule {slug}",
            arguments={"rule": slug},
            before={"rule": slug, "spec": rule.current_version.spec},
            after=None,
            ctx=ctx,
        )
    rule.current_version = None
    rule.save(update_fields=["current_version"])
    record(
        Entry(kind="retention_rule.withdrawn", subject=Subject(workflow=rule.workflow), inputs={"rule": slug}), ctx=ctx
    )


@operation("retention_rule.put", scope=Scope.WORKFLOW_MANAGE)
def _put(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    spec = {name: said for name, said in arguments["spec"].items() if said}
    upsert_retention_rule(arguments["rule"], parse_retention(spec), ctx=ctx)


@operation("retention_rule.withdraw", scope=Scope.WORKFLOW_MANAGE)
def _withdraw(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    withdraw_retention(arguments["rule"], ctx=ctx)


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
