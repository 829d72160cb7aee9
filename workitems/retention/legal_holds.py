"""Legal holds: what must not be deleted or erased, until somebody says otherwise."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from telemetry.receipts import Entry, Subject
from telemetry.services.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import commitment
from workitems.models import LegalHold, WorkItem
from workitems.retention.locks import lock_retention


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRequest:
    """What to hold: one case, or all that fit every criterion given, also those that come in later."""

    reason: str
    work_item_id: uuid.UUID | None = None
    workflow: str = ""
    channel: str = ""
    requester_id: uuid.UUID | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """The criteria that are given, under the names of the API. The reason is not among them."""
        values = {
            "work_item_id": self.work_item_id and ids.public_id(ids.WORK_ITEM, self.work_item_id),
            "workflow_id": self.workflow,
            "channel_id": self.channel,
            "requester": self.requester_id and ids.public_id(ids.PRINCIPAL, self.requester_id),
            "created_after": self.created_after and rfc3339(self.created_after),
            "created_before": self.created_before and rfc3339(self.created_before),
        }
        return {name: value for name, value in values.items() if value}


def set_hold(request: HoldRequest, *, ctx: ActingContext) -> LegalHold:
    """Hold from now on: no run deletes, and no erasure erases, what the hold covers. Receipt `legal_hold.set`.

    Raises `PermissionDenied`, `NotFound` (no such work item here), `InvalidRequest` (nothing is named, or no reason).
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    criteria = request.as_json()
    if not criteria:
        raise errors.InvalidRequest("Name a work item, or at least one of workflow, channel, requester and time.")
    _check_reason(request.reason)
    lock_retention(ctx.tenant_id)
    if request.work_item_id is not None:
        held = WorkItem.objects.filter(tenant_id=ctx.tenant_id, id=request.work_item_id)
        if not held.exists():
            raise errors.NotFound
    hold = LegalHold.objects.create(
        tenant_id=ctx.tenant_id,
        work_item_id=request.work_item_id,
        workflow=request.workflow,
        channel=request.channel,
        requester_id=request.requester_id,
        created_after=request.created_after,
        created_before=request.created_before,
        reason=request.reason,
        set_by=None if ctx.is_system else ctx.principal_id,
    )
    _record("legal_hold.set", hold, criteria, request.reason, ctx=ctx)
    return hold


def lift_hold(hold_id: uuid.UUID, *, reason: str, ctx: ActingContext) -> LegalHold:
    """End a hold. What it alone held is due in the next dry run, not before. Receipt `legal_hold.lifted`.

    Raises `PermissionDenied`, `NotFound`, `Conflict` (it is lifted already).
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    _check_reason(reason)
    lock_retention(ctx.tenant_id)
    hold = LegalHold.objects.select_for_update().filter(tenant_id=ctx.tenant_id, id=hold_id).first()
    if hold is None:
        raise errors.NotFound
    if hold.lifted_at is not None:
        raise errors.Conflict("This hold has been lifted already.")
    hold.lifted_by = None if ctx.is_system else ctx.principal_id
    hold.lifted_at = clock.now()
    hold.lifted_reason = reason
    hold.save(update_fields=["lifted_by", "lifted_at", "lifted_reason"])
    _record("legal_hold.lifted", hold, {}, reason, ctx=ctx)
    return hold


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise errors.InvalidRequest(
            "Say why: a hold, and its end, needs a reason.", errors=[FieldError("/reason", "is required", "required")]
        )


def _record(kind: str, hold: LegalHold, criteria: dict[str, Any], reason: str, *, ctx: ActingContext) -> None:
    record(
        Entry(
            kind=kind,
            subject=Subject(work_item_id=hold.work_item_id, workflow=hold.workflow, channel=hold.channel),
            inputs={
                "legal_hold_id": hold.public_id,
                **({"holds": criteria} if criteria else {}),
                "reason_commitment": commitment(bytes(hold.reason_salt), reason),
            },
            outcome={"in_force": hold.lifted_at is None},
        ),
        ctx=ctx,
    )
