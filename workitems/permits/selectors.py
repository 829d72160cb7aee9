"""Selectors of permits."""

from __future__ import annotations

import uuid

from django.db.models import Q, QuerySet

from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Scope, Visibility
from workitems import selectors
from workitems.models import Permit, PermitUse


def permits(ctx: ActingContext) -> QuerySet[Permit]:
    """Return the permits that the context may read: those of workflows that it reads, and those that name it."""
    rows = Permit.objects.filter(tenant_id=ctx.tenant_id)
    if _reads_all(ctx):
        return rows
    granted = Q(workflow_id__in=ctx.granted_workflows(Scope.WORKITEMS_READ))
    if Scope.WORKITEMS_READ not in ctx.scopes:
        return rows.filter(granted)
    named = Q(limits__principals__contains=[ids.public_id(ids.PRINCIPAL, ctx.principal_id)])
    return rows.filter(granted | named)


def uses(permit: Permit, *, ctx: ActingContext) -> QuerySet[PermitUse]:
    """Return the uses of a permit in work items that the context may read, the newest first."""
    rows = PermitUse.objects.filter(tenant_id=ctx.tenant_id, permit=permit).order_by("-id")
    if _reads_all(ctx) or permit.workflow_id in ctx.granted_workflows(Scope.WORKITEMS_READ):
        return rows
    return rows.filter(work_item_id__in=selectors.work_items(ctx).values("id"))


def _reads_all(ctx: ActingContext) -> bool:
    return Scope.WORKITEMS_READ in ctx.scopes and ctx.visibility is Visibility.TENANT


def permit_for_update(permit_id: uuid.UUID, *, ctx: ActingContext) -> Permit | None:
    """Return a permit that the context may read, locked."""
    return permits(ctx).select_for_update(of=("self",)).filter(id=permit_id).first()


def use_of(execution_id: uuid.UUID, *, tenant_id: uuid.UUID) -> PermitUse | None:
    """Return the unit that an execution has reserved and not returned."""
    rows = PermitUse.objects.filter(tenant_id=tenant_id, execution_id=execution_id)
    return rows.filter(returned_at__isnull=True).first()
