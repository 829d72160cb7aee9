"""Out-of-office delegations: for a period, a delegate decides in another approver's place.

A delegate is eligible where the delegator is, and is excluded with the delegator. A delegation grants no scope, so only
members who may decide already can be delegates. Delegations do not chain.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.members import members
from threada_site.tenancy.models import Membership, User
from workitems.models import Delegation

LONGEST: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfOffice:
    """Delegator, delegate and period of a delegation. `starts_at` None: from now on."""

    delegator: User
    delegate: User
    ends_at: datetime
    starts_at: datetime | None = None
    reason: str = ""


def delegate(out_of_office: OutOfOffice, *, ctx: ActingContext) -> Delegation:
    """Create a delegation. Members do so for themselves; holders of `workflow:manage` for anyone.

    Receipt `delegation.created`. Raises `PermissionDenied`, `InvalidRequest` for an invalid period,
    `DelegateNotEligible`, `DelegationOverlaps`.
    """
    require_unit_of_work(ctx.tenant_id)
    _check_may_act_for(out_of_office.delegator.id, ctx=ctx)
    now = clock.now()
    starts_at = out_of_office.starts_at or now
    _check_times(starts_at, out_of_office.ends_at, now=now)
    _check_people(out_of_office, tenant_id=ctx.tenant_id)
    Membership.objects.select_for_update().filter(tenant_id=ctx.tenant_id, user=out_of_office.delegator).first()
    others = Delegation.objects.filter(tenant_id=ctx.tenant_id, delegator=out_of_office.delegator)
    if others.filter(starts_at__lt=out_of_office.ends_at, ends_at__gt=starts_at).exists():
        raise errors.DelegationOverlaps(f"{out_of_office.delegator.username} has a delegate in that time already.")
    row = Delegation.objects.create(
        tenant_id=ctx.tenant_id,
        delegator=out_of_office.delegator,
        delegate=out_of_office.delegate,
        starts_at=starts_at,
        ends_at=out_of_office.ends_at,
        reason=out_of_office.reason,
        created_by=None if ctx.is_system else ctx.principal_id,
    )
    record(Entry(kind="delegation.created", inputs=_inputs(row)), ctx=ctx)
    return row


def end_delegation(row: Delegation, *, ctx: ActingContext) -> None:
    """End a locked delegation now. Allowed for the delegator, the delegate, and holders of `workflow:manage`.

    Votes of the delegate remain valid. Receipt `delegation.ended`. Raises `PermissionDenied`, `DelegationEnded`.
    """
    require_unit_of_work(ctx.tenant_id)
    if ctx.principal_id != row.delegate_id:
        _check_may_act_for(row.delegator_id, ctx=ctx)
    now = clock.now()
    if row.ended_at is not None or row.ends_at <= now:
        raise errors.DelegationEnded(f"It ended at {rfc3339(row.ends_at)}.")
    row.ended_at = now
    row.ends_at = max(now, row.starts_at)
    row.save(update_fields=["ended_at", "ends_at"])
    record(Entry(kind="delegation.ended", inputs=_inputs(row)), ctx=ctx)


def locked_delegation(delegation_id: uuid.UUID, *, ctx: ActingContext) -> Delegation:
    """Return the locked row. Raises `NotFound`."""
    row = Delegation.objects.select_for_update().filter(tenant_id=ctx.tenant_id, id=delegation_id).first()
    if row is None:
        raise errors.NotFound
    return row


def _check_may_act_for(person_id: uuid.UUID, *, ctx: ActingContext) -> None:
    if Scope.WORKFLOW_MANAGE in ctx.scopes:
        return
    if ctx.principal_kind is not PrincipalKind.HUMAN or ctx.principal_id != person_id:
        raise errors.PermissionDenied("People delegate for themselves; for others it needs workflow:manage.")


def _check_times(starts_at: datetime, ends_at: datetime, *, now: datetime) -> None:
    problem = ""
    if ends_at <= max(starts_at, now):
        problem = "must lie after starts_at and in the future"
    elif ends_at - starts_at > LONGEST:
        problem = f"must lie at most {LONGEST.days} days after starts_at"
    if problem:
        raise errors.InvalidRequest(f"ends_at {problem}.", errors=[FieldError("/ends_at", problem)])


def _check_people(out_of_office: OutOfOffice, *, tenant_id: uuid.UUID) -> None:
    found = {
        member.id: member
        for member in members(
            tenant_id, among=[out_of_office.delegator.id, out_of_office.delegate.id], humans_only=True
        )
    }
    if out_of_office.delegator.id not in found:
        raise errors.InvalidRequest(
            "Only people of this tenant have delegates.", errors=[FieldError("/delegator", "is not a person here")]
        )
    member = found.get(out_of_office.delegate.id)
    decides = member is not None and (
        Scope.DECISIONS_DECIDE in member.permissions.scopes
        or any(Scope.DECISIONS_DECIDE in held for held in member.permissions.grants.workflows.values())
    )
    if not decides or out_of_office.delegate.id == out_of_office.delegator.id:
        raise errors.DelegateNotEligible(
            f"{out_of_office.delegate.username} cannot stand in for {out_of_office.delegator.username}: name another "
            "person of this tenant who holds decisions:decide.",
            errors=[FieldError("/delegate", "cannot stand in", "not_eligible")],
        )


def _inputs(row: Delegation) -> dict[str, str]:
    return {
        "delegation": row.public_id,
        "delegator": ids.public_id(ids.PRINCIPAL, row.delegator_id),
        "delegate": ids.public_id(ids.PRINCIPAL, row.delegate_id),
        "starts_at": rfc3339(row.starts_at),
        "ends_at": rfc3339(row.ends_at),
    }
