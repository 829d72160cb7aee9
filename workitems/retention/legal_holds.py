"""Legal holds: cases that must not be deleted or erased until the hold is lifted."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
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
class LegalHoldRequest:
    """Criteria of a legal hold: one case, or all cases that match all criteria, including later ones."""

    reason: str
    work_item_id: uuid.UUID | None = None
    workflow: str = ""
    channel: str = ""
    requester_id: uuid.UUID | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the given criteria under the names of the API, without the reason."""
        values = {
            "work_item_id": self.work_item_id and ids.public_id(ids.WORK_ITEM, self.work_item_id),
            "workflow_id": self.workflow,
            "channel_id": self.channel,
            "requester": self.requester_id and ids.public_id(ids.PRINCIPAL, self.requester_id),
            "created_after": self.created_after and rfc3339(self.created_after),
            "created_before": self.created_before and rfc3339(self.created_before),
        }
        return {name: value for name, value in values.items() if value}


def set_legal_hold(request: LegalHoldRequest, *, ctx: ActingContext) -> LegalHold:
    """Set a legal hold. Retention and erasure skip its cases from now on. Receipt `legal_hold.set`.

    Raise `PermissionDenied`, `NotFound` (no such work item), `InvalidRequest` (no criterion or no reason).
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
    legal_hold = LegalHold.objects.create(
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
    _record("legal_hold.set", legal_hold, criteria, request.reason, ctx=ctx)
    return legal_hold


def lift_legal_hold(legal_hold_id: uuid.UUID, *, reason: str, ctx: ActingContext) -> LegalHold:
    """Lift a legal hold. Its cases are due in the next dry run at the earliest. Receipt `legal_hold.lifted`.

    Raise `PermissionDenied`, `NotFound`, `Conflict` (lifted already).
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    _check_reason(reason)
    lock_retention(ctx.tenant_id)
    legal_hold = LegalHold.objects.select_for_update().filter(tenant_id=ctx.tenant_id, id=legal_hold_id).first()
    if legal_hold is None:
        raise errors.NotFound
    if legal_hold.lifted_at is not None:
        raise errors.Conflict("This legal hold is already lifted.")
    legal_hold.lifted_by = None if ctx.is_system else ctx.principal_id
    legal_hold.lifted_at = clock.now()
    legal_hold.lifted_reason = reason
    legal_hold.save(update_fields=["lifted_by", "lifted_at", "lifted_reason"])
    _record("legal_hold.lifted", legal_hold, {}, reason, ctx=ctx)
    return legal_hold


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise errors.InvalidRequest(
            "Setting and lifting a legal hold need a reason.",
            errors=[FieldError("/reason", "is required", "required")],
        )


def _record(kind: str, legal_hold: LegalHold, criteria: dict[str, Any], reason: str, *, ctx: ActingContext) -> None:
    record(
        Entry(
            kind=kind,
            subject=Subject(
                work_item_id=legal_hold.work_item_id, workflow=legal_hold.workflow, channel=legal_hold.channel
            ),
            inputs={
                "legal_hold_id": legal_hold.public_id,
                **({"holds": criteria} if criteria else {}),
                "reason_commitment": commitment(bytes(legal_hold.reason_salt), reason),
            },
            outcome={"in_force": legal_hold.lifted_at is None},
        ),
        ctx=ctx,
    )
