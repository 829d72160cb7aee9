"""Legal holds: cases that must not be deleted or erased until the hold is lifted."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NoReturn

from policies.models import Channel, Workflow
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import commitment
from threada_site.tenancy.change_sets import ProposedChange, operation, proposer_of, require_confirmation
from threada_site.tenancy.credentials.deciding import require_person
from threada_site.tenancy.four_eyes import LEGAL_HOLD_FOUR_EYES
from threada_site.tenancy.models import Membership
from workitems.models import LegalHold, WorkItem
from workitems.retention.locks import lock_retention

LIFT: Final = "legal_hold.lift"
"""Operation that lifts a legal hold once a second person publishes it."""


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

    Raise `PermissionDenied`, `NotFound` (no such work item), `InvalidRequest` (no criterion, no reason, or a criterion
    that no work item can match).
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    criteria = request.as_json()
    if not criteria:
        raise errors.InvalidRequest("Name a work item, or at least one of workflow, channel, requester and time.")
    _check_reason(request.reason)
    _check_criteria(request, ctx=ctx)
    lock_retention(ctx=ctx)
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
    _record("legal_hold.set", legal_hold, {"holds": criteria}, request.reason, ctx=ctx)
    return legal_hold


def lift_legal_hold(legal_hold_id: uuid.UUID, *, reason: str, ctx: ActingContext) -> LegalHold:
    """Lift a legal hold. Its cases are due in the next dry run at the earliest. Receipt `legal_hold.lifted`.

    People lift legal holds; under `legal_hold_four_eyes` an independent steward publishes the change. The operator
    lifts those that the operator set, without a second person. `lifted_by` is the author of the reason. Raise
    `PermissionDenied`, `PersonRequired`, `NotFound`, `Conflict` (lifted already), `ConfirmationRequired`.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    _check_reason(reason)
    lock_retention(ctx=ctx)
    legal_hold = LegalHold.objects.select_for_update().filter(tenant_id=ctx.tenant_id, id=legal_hold_id).first()
    if legal_hold is None:
        raise errors.NotFound
    is_of_operator = legal_hold.set_by is None
    if not (is_of_operator and ctx.is_system):
        require_person("A person has to lift this legal hold, in the console.", ctx=ctx)
    if legal_hold.lifted_at is not None:
        raise errors.Conflict("This legal hold is already lifted.")
    if ctx.is_person:
        _require_second_person(legal_hold, reason, ctx=ctx)
    proposer = proposer_of(ctx)
    legal_hold.lifted_by = None if ctx.is_system else proposer or ctx.principal_id
    legal_hold.lifted_at = clock.now()
    legal_hold.lifted_reason = reason
    legal_hold.save(update_fields=["lifted_by", "lifted_at", "lifted_reason"])
    confirmed = {"proposed_by": ids.public_id(ids.PRINCIPAL, proposer)} if proposer else {}
    _record("legal_hold.lifted", legal_hold, confirmed, reason, ctx=ctx)
    return legal_hold


@operation(LIFT)
def _publish_lift(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    legal_hold_id = ids.parse_public_id(ids.LEGAL_HOLD, arguments["legal_hold_id"])
    if legal_hold_id is None:
        raise errors.NotFound
    lift_legal_hold(legal_hold_id, reason=arguments["reason"], ctx=ctx)


def _require_second_person(legal_hold: LegalHold, reason: str, *, ctx: ActingContext) -> None:
    shown = {"legal_hold_id": legal_hold.public_id, "holds": _criteria(legal_hold)}
    require_confirmation(
        ProposedChange(
            rule=LEGAL_HOLD_FOUR_EYES,
            operation=LIFT,
            title=f"Lift legal hold {legal_hold.public_id}",
            arguments={"legal_hold_id": legal_hold.public_id, "reason": reason},
            before={**shown, "in_force": True},
            after={**shown, "in_force": False},
        ),
        ctx=ctx,
    )


def _criteria(legal_hold: LegalHold) -> dict[str, Any]:
    return LegalHoldRequest(
        reason=legal_hold.reason,
        work_item_id=legal_hold.work_item_id,
        workflow=legal_hold.workflow,
        channel=legal_hold.channel,
        requester_id=legal_hold.requester_id,
        created_after=legal_hold.created_after,
        created_before=legal_hold.created_before,
    ).as_json()


def _check_criteria(request: LegalHoldRequest, *, ctx: ActingContext) -> None:
    """Raise `InvalidRequest` for a criterion that no case can match: a hold by a misspelt name would keep nothing."""
    items = WorkItem.objects.filter(tenant_id=ctx.tenant_id)
    members = Membership.objects.filter(tenant_id=ctx.tenant_id)
    workflows = Workflow.objects.filter(tenant_id=ctx.tenant_id, slug=request.workflow)
    channels = Channel.objects.filter(tenant_id=ctx.tenant_id, slug=request.channel)
    after, before = request.created_after, request.created_before
    if request.workflow and not workflows.exists():
        _refuse("/workflow_id", f"There is no workflow {request.workflow}.")
    if request.channel and not (channels.exists() or items.filter(channel=request.channel).exists()):
        _refuse("/channel_id", f"There is no channel {request.channel}, and no work item that came in there.")
    requester = request.requester_id
    if requester and not (members.filter(user_id=requester).exists() or items.filter(requester_id=requester).exists()):
        _refuse("/requester", "This tenant has no such principal, and no work item that it requested.")
    if after and before and after >= before:
        _refuse("/created_before", "The end of the time of creation must be after its start.")


def _refuse(pointer: str, detail: str) -> NoReturn:
    raise errors.InvalidRequest(detail, errors=[FieldError(pointer, detail, "invalid")])


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise errors.InvalidRequest(
            "Setting and lifting a legal hold need a reason.",
            errors=[FieldError("/reason", "is required", "required")],
        )


def _record(kind: str, legal_hold: LegalHold, inputs: dict[str, Any], reason: str, *, ctx: ActingContext) -> None:
    record(
        Entry(
            kind=kind,
            subject=Subject(
                work_item_id=legal_hold.work_item_id, workflow=legal_hold.workflow, channel=legal_hold.channel
            ),
            inputs={
                "legal_hold_id": legal_hold.public_id,
                **inputs,
                "reason_commitment": commitment(bytes(legal_hold.reason_salt), reason),
            },
            outcome={"in_force": legal_hold.lifted_at is None},
        ),
        ctx=ctx,
    )
