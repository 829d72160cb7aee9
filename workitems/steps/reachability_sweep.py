"""Sweep over the reachability of the pending steps of all tenants."""

from __future__ import annotations

import time
import uuid
from typing import Final

import structlog
from django.db import connection

from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import ActingContext
from workitems.approvers.active_members import ActiveMembers, active_members_of
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, MembershipSnapshot, WorkItem
from workitems.steps.named_owners import store_known_controllers
from workitems.steps.reachability import (
    check_reachability,
    mark_changed_reachability,
    membership_fingerprint,
    save_membership_snapshot,
)
from workitems.steps.unreachable import sweep_context, tell_stewards

AT_ONCE: Final = 1000
PER_TENANT: Final = 500
ENOUGH_SECONDS: Final = 4.0

log = structlog.get_logger("threada.sweeps")


def sweep_reachability() -> int:
    """Check the steps that changed, tenant by tenant, for at most a few seconds.

    Return the number of checked steps.
    """
    started = time.monotonic()
    checked = 0
    for tenant_id in _tenants_with_pending_steps():
        try:
            checked += check_tenant(tenant_id)
        except Exception:  # a failure of one tenant must not stop the others
            log.exception("reachability_check_failed", tenant=str(tenant_id))
        if time.monotonic() - started > ENOUGH_SECONDS:
            break
    return checked


def _tenants_with_pending_steps() -> list[uuid.UUID]:
    """Return the tenants with pending steps, those checked longest ago first."""
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.id FROM tenancy_tenant t LEFT JOIN workitems_membershipsnapshot r ON r.tenant_id = t.id "
            "WHERE EXISTS (SELECT 1 FROM workitems_decisionstep s WHERE s.tenant_id = t.id AND s.status = 'pending') "
            "ORDER BY r.checked_at NULLS FIRST, t.id"
        )
        return [tenant_id for (tenant_id,) in cursor.fetchall()]


def check_tenant(tenant_id: uuid.UUID) -> int:
    """Check the steps of a tenant that changed, or all if its members did. Return the number of checked steps.

    Steps that waited for an owner to be named are among those that changed.
    """
    with unit_of_work(tenant_id):
        store_known_controllers(ctx=sweep_context(tenant_id))
        active_members = active_members_of(tenant_id)
        fingerprint = membership_fingerprint(active_members)
        known = MembershipSnapshot.objects.filter(tenant_id=tenant_id).values_list("fingerprint", flat=True).first()
    if known != fingerprint:
        after: uuid.UUID | None = None
        while True:
            with unit_of_work(tenant_id):
                after = mark_changed_reachability(tenant_id, active_members, after, limit=AT_ONCE)
            if after is None:
                break
    with unit_of_work(tenant_id):
        save_membership_snapshot(tenant_id, fingerprint)
        due = DecisionStep.objects.filter(tenant_id=tenant_id, status=StepStatus.PENDING, reachability_check_due=True)
        step_ids = list(due.order_by("id").values_list("id", flat=True)[:PER_TENANT])
    if not step_ids:
        return 0
    ctx = sweep_context(tenant_id)
    unreachable: list[str] = []
    checked = sum(_check_step(step_id, active_members, unreachable, ctx=ctx) for step_id in step_ids)
    if unreachable:
        with unit_of_work(tenant_id):
            tell_stewards(unreachable, ctx=ctx)
    return checked


def _check_step(
    step_id: uuid.UUID, active_members: ActiveMembers, unreachable: list[str], *, ctx: ActingContext
) -> bool:
    """Check one step in its own transaction. Return False if it is locked elsewhere or closed.

    Add the public id of a step that became unreachable to `unreachable`.
    """
    tenant_id = ctx.tenant_id
    try:
        with unit_of_work(tenant_id):
            steps = DecisionStep.objects.filter(tenant_id=tenant_id, id=step_id, status=StepStatus.PENDING)
            item = (
                WorkItem.objects.select_for_update(of=("self",), skip_locked=True)
                .filter(tenant_id=tenant_id, id__in=steps.values("work_item_id"))
                .select_related("workflow_version")
                .first()
            )
            step = steps.select_for_update(of=("self",), skip_locked=True).first() if item is not None else None
            if item is None or step is None:
                return False
            became_unreachable = check_reachability(item, step, active_members, ctx=ctx)
    except Exception:  # the step is checked again when the members change
        log.exception("reachability_check_failed", step=str(step_id))
    else:
        unreachable += [step.public_id] if became_unreachable else []
        return True
    with unit_of_work(tenant_id):
        DecisionStep.objects.filter(tenant_id=tenant_id, id=step_id).update(reachability_check_due=False)
    return False
