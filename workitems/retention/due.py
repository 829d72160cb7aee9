"""Cases that are due: closed, past their retention period, not under a legal hold."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

from django.db.models import Exists, OuterRef, Q, QuerySet

from integrations.models import OPEN_EXECUTION_STATUSES, Execution
from telemetry.models import Receipt
from telemetry.receipts.remove import signed_leaves
from threada_site.kernel import ids
from workitems.lifecycle import WORK_ITEM
from workitems.models import LegalHold, Permit, PermitUse, RetentionRule, WorkItem
from workitems.retention.rules import Rule, narrowest_first, rule_from_spec

type Phase = Literal["remove_contents", "remove_case"]

ENDED: Final = sorted(status.value for status in WORK_ITEM.ends)


def rules_in_force(tenant_id: uuid.UUID) -> list[Rule]:
    """Return the current rules of the tenant, narrowest first."""
    rows = RetentionRule.objects.filter(tenant_id=tenant_id, current_version__isnull=False)
    return narrowest_first(
        rule_from_spec(
            row.current_version.spec,  # type: ignore[union-attr]
            slug=row.slug,
            version_id=ids.public_id(ids.RETENTION_VERSION, row.current_version_id),  # type: ignore[arg-type]
            number=row.current_version.number,  # type: ignore[union-attr]
        )
        for row in rows.select_related("current_version").order_by("slug")
    )


def due_items(
    shown: Sequence[Rule],
    in_force: Sequence[Rule],
    phase: Phase,
    *,
    as_of: datetime,
    now: datetime,
    tenant_id: uuid.UUID,
) -> QuerySet[WorkItem]:
    """Return the items whose contents (`remove_contents`) or whole case (`remove_case`) a run may remove.

    They were shown by a dry run (rules `shown`, time `as_of`) and are still due under the current rules. Items that
    became due later, for example because a hold was lifted, wait for the next dry run.
    """
    rows = _eligible(phase, shown_at=as_of, tenant_id=tenant_id)
    rows = rows.filter(_due(shown, phase, as_of=as_of)).filter(_due(in_force, phase, as_of=now))
    if phase == "remove_contents":
        return rows
    unsigned = Receipt.objects.filter(~Exists(signed_leaves(tenant_id).filter(id=OuterRef("id"))))
    unsigned = unsigned.filter(tenant_id=tenant_id, work_item_id=OuterRef("id"))
    return rows.filter(contents_removed_at__isnull=False).exclude(Exists(unsigned))


def count_due(rule: Rule, rules: Sequence[Rule], phase: Phase, *, as_of: datetime, tenant_id: uuid.UUID) -> int:
    """Return the number of items for which `rule` of `rules` applies and that are due at `as_of`."""
    rows = _eligible(phase, shown_at=as_of, tenant_id=tenant_id)
    return rows.filter(_due_by(rule, rules, phase, as_of=as_of)).count()


def items_under_legal_hold(tenant_id: uuid.UUID) -> QuerySet[WorkItem]:
    """Return the items under a legal hold that is in force."""
    return WorkItem.objects.filter(Exists(_legal_holds_on_row(tenant_id)), tenant_id=tenant_id)


def _eligible(phase: Phase, *, shown_at: datetime, tenant_id: uuid.UUID) -> QuerySet[WorkItem]:
    """Return closed items without a legal hold, executions since `shown_at`, undo to come, and permit in effect.

    The whole case also stays while other cases have used one of its permits, and while it has used one that is in
    effect.
    """
    running = Execution.objects.filter(
        Q(status__in=OPEN_EXECUTION_STATUSES) | Q(finished_at__gte=shown_at) | Q(undo_due_at__isnull=False),
        tenant_id=tenant_id,
        work_item_id=OuterRef("id"),
    )
    rows = WorkItem.objects.filter(tenant_id=tenant_id, status__in=ENDED)
    rows = rows.exclude(Exists(_legal_holds_on_row(tenant_id, since=shown_at))).exclude(Exists(running))
    rows = rows.exclude(Exists(_permits_in_effect(tenant_id, at=shown_at)))
    if phase == "remove_case":
        rows = rows.exclude(Exists(_uses_in_other_cases(tenant_id)))
        rows = rows.exclude(Exists(_uses_of_permits_in_effect(tenant_id, at=shown_at)))
    return rows.filter(contents_removed_at__isnull=True) if phase == "remove_contents" else rows


def _permits_in_effect(tenant_id: uuid.UUID, *, at: datetime) -> QuerySet[Permit]:
    """Return permits that were proposed in a case and still cover others."""
    return Permit.objects.filter(tenant_id=tenant_id, work_item_id=OuterRef("id"), status="in_effect", ends_at__gt=at)


def _uses_in_other_cases(tenant_id: uuid.UUID) -> QuerySet[PermitUse]:
    """Return uses of the permits of a case in cases that are still there."""
    rows = PermitUse.objects.filter(tenant_id=tenant_id, permit__work_item_id=OuterRef("id"))
    return rows.exclude(work_item_id=OuterRef("id"))


def _uses_of_permits_in_effect(tenant_id: uuid.UUID, *, at: datetime) -> QuerySet[PermitUse]:
    """Return uses that count against permits in effect, or say that a unit was returned."""
    rows = PermitUse.objects.filter(tenant_id=tenant_id, work_item_id=OuterRef("id"))
    return rows.filter(permit__status="in_effect", permit__ends_at__gt=at)


def _due(rules: Sequence[Rule], phase: Phase, *, as_of: datetime) -> Q:
    due = Q(pk__in=[])
    for rule in rules:
        due |= _due_by(rule, rules, phase, as_of=as_of)
    return due


def _due_by(rule: Rule, rules: Sequence[Rule], phase: Phase, *, as_of: datetime) -> Q:
    period = rule.keep_payload if phase == "remove_contents" else rule.keep_receipts
    if period is None:
        return Q(pk__in=[])
    due = _covered(rule) & Q(updated_at__lt=period.before(as_of))
    for other in rules:
        if other.narrowness > rule.narrowness:
            due &= ~_covered(other)
    return due


def _covered(rule: Rule) -> Q:
    covered = Q()
    if rule.workflow:
        covered &= Q(workflow=rule.workflow)
    if rule.data_class:
        covered &= Q(data_class=rule.data_class)
    return covered


def _legal_holds_on_row(tenant_id: uuid.UUID, *, since: datetime | None = None) -> QuerySet[LegalHold]:
    return _legal_holds(
        tenant_id,
        OuterRef("id"),
        workflow=OuterRef("workflow"),
        channel=OuterRef("channel"),
        requester=OuterRef("requester_id"),
        created_at=OuterRef("created_at"),
        since=since,
    )


def _legal_holds(
    tenant_id: uuid.UUID,
    item_id: Any,
    *,
    workflow: Any,
    channel: Any,
    requester: Any,
    created_at: Any,
    since: datetime | None = None,
) -> QuerySet[LegalHold]:
    """Return legal holds on an item that are in force or were lifted after `since`."""
    return LegalHold.objects.filter(
        Q(work_item_id__isnull=True) | Q(work_item_id=item_id),
        Q(workflow="") | Q(workflow=workflow),
        Q(channel="") | Q(channel=channel),
        Q(requester__isnull=True) | Q(requester_id=requester),
        Q(created_after__isnull=True) | Q(created_after__lte=created_at),
        Q(created_before__isnull=True) | Q(created_before__gt=created_at),
        Q(lifted_at__isnull=True) | (Q() if since is None else Q(lifted_at__gte=since)),
        tenant_id=tenant_id,
    )
