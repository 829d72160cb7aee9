"""Out-of-office delegations: for a period, a delegate decides in another approver's place.

A delegate is eligible where the delegator is, and is excluded with the delegator. A delegation grants no scope, so only
members who may decide already can be delegates. Delegations do not chain. A delegation that somebody else proposes
needs the consent of the delegator, or a second person.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.personal_notices import notify_person
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.credentials.deciding import check_authentication, require_person
from threada_site.tenancy.independence import is_independent_of
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
    """Create a delegation. People do so for themselves; people with `workflow:manage` propose one for anyone.

    A proposed delegation is not in force until the delegator consents or a second person confirms it. Its creator, and
    people who are not independent of the creator, cannot be the delegate. Receipt `delegation.created`. Raises
    `PersonRequired`, `PermissionDenied`, `InvalidRequest` for an invalid period, `DelegateNotEligible`,
    `DelegationOverlaps`.
    """
    require_unit_of_work(ctx.tenant_id)
    _check_may_act_for(out_of_office.delegator.id, ctx=ctx)
    now = clock.now()
    row = Delegation(
        tenant_id=ctx.tenant_id,
        delegator=out_of_office.delegator,
        delegate=out_of_office.delegate,
        starts_at=out_of_office.starts_at or now,
        ends_at=out_of_office.ends_at,
        reason=out_of_office.reason,
        created_by=ctx.principal_id,
    )
    if row.delegator_id == ctx.principal_id:
        row.consented_by, row.consented_at = ctx.principal_id, now
    _check_times(row.starts_at, row.ends_at, now=now)
    _check_people(row)
    _check_overlap(row)
    row.save(force_insert=True)
    record(Entry(kind="delegation.created", inputs=_inputs(row), outcome=_outcome(row)), ctx=ctx)
    notify_person(row.delegate_id, "delegation_received", out_of_office.delegator.username, ctx=ctx)
    if row.consented_at is None:
        notify_person(row.delegator_id, "delegation_proposed", out_of_office.delegate.username, ctx=ctx)
    return row


def consent_to_delegation(row: Delegation, *, ctx: ActingContext) -> None:
    """Bring a locked delegation that somebody else created into force, as its delegator.

    Nothing happens if it is in force already. Receipt `delegation.consented`. Raises `PermissionDenied`,
    `DelegationEnded`, `DelegateNotEligible`, `DelegationOverlaps`.
    """
    require_unit_of_work(ctx.tenant_id)
    if not ctx.is_person or ctx.principal_id != row.delegator_id:
        raise errors.PermissionDenied("Only the delegator can consent to this delegation.")
    check_authentication(ctx=ctx)
    _bring_into_force(row, "delegation.consented", ctx=ctx)


def confirm_delegation(row: Delegation, *, ctx: ActingContext) -> None:
    """Bring a locked delegation into force in place of the delegator, as a second person with `workflow:manage`.

    Nothing happens if it is in force already. Receipt `delegation.confirmed`. Raises `PersonRequired`,
    `PermissionDenied`, `SecondPersonRequired` for the delegate, the creator, and people who are not independent of
    them, `DelegationEnded`, `DelegateNotEligible`, `DelegationOverlaps`.
    """
    require_unit_of_work(ctx.tenant_id)
    require_person("Only a person can confirm a delegation.", ctx=ctx)
    if Scope.WORKFLOW_MANAGE not in ctx.scopes:
        raise errors.PermissionDenied("Confirming a delegation needs workflow:manage.")
    if not may_confirm(row, ctx=ctx):
        raise errors.SecondPersonRequired(
            "Somebody else has to confirm it, who is independent of its creator and of the delegate."
        )
    if _bring_into_force(row, "delegation.confirmed", ctx=ctx):
        notify_person(row.delegator_id, "delegation_confirmed", row.delegate.username, ctx=ctx)


def may_confirm(row: Delegation, *, ctx: ActingContext) -> bool:
    """Return True if the acting person manages workflows and is independent of creator and delegate."""
    return (
        ctx.is_person
        and Scope.WORKFLOW_MANAGE in ctx.scopes
        and is_independent_of(ctx.principal_id, [row.created_by, row.delegate_id], tenant_id=ctx.tenant_id)
    )


def end_delegation(row: Delegation, *, ctx: ActingContext) -> None:
    """End a locked delegation now. Allowed for the delegator, the delegate, and people with `workflow:manage`.

    Votes of the delegate remain valid. Receipt `delegation.ended`. Raises `PersonRequired`, `PermissionDenied`,
    `DelegationEnded`.
    """
    require_unit_of_work(ctx.tenant_id)
    if ctx.principal_id != row.delegate_id:
        _check_may_act_for(row.delegator_id, ctx=ctx)
    _check_not_ended(row, now=clock.now())
    close_delegation(row, ctx=ctx)


def close_delegation(row: Delegation, *, ctx: ActingContext) -> None:
    """End a locked delegation that has not ended. The caller has checked permissions. Receipt `delegation.ended`."""
    row.ended_at = clock.now()
    row.ends_at = max(row.ended_at, row.starts_at)
    row.save(update_fields=["ended_at", "ends_at"])
    record(Entry(kind="delegation.ended", inputs=_inputs(row)), ctx=ctx)


def locked_delegation(delegation_id: uuid.UUID, *, ctx: ActingContext) -> Delegation:
    """Return the locked row. Raises `NotFound`."""
    row = Delegation.objects.select_for_update().filter(tenant_id=ctx.tenant_id, id=delegation_id).first()
    if row is None:
        raise errors.NotFound
    return row


def _bring_into_force(row: Delegation, kind: str, *, ctx: ActingContext) -> bool:
    """Bring a delegation into force. Return False if it is in force already."""
    now = clock.now()
    _check_not_ended(row, now=now)
    if row.consented_at is not None:
        return False
    _check_people(row)
    _check_overlap(row)
    row.consented_by, row.consented_at = ctx.principal_id, now
    row.save(update_fields=["consented_by", "consented_at"])
    record(Entry(kind=kind, inputs=_inputs(row), outcome=_outcome(row)), ctx=ctx)
    return True


def _check_may_act_for(person_id: uuid.UUID, *, ctx: ActingContext) -> None:
    require_person("Only people delegate, end or propose delegations.", ctx=ctx)
    if ctx.principal_id != person_id and Scope.WORKFLOW_MANAGE not in ctx.scopes:
        raise errors.PermissionDenied("People delegate for themselves; for others it needs workflow:manage.")


def _check_not_ended(row: Delegation, *, now: datetime) -> None:
    if row.ended_at is not None or row.ends_at <= now:
        raise errors.DelegationEnded(f"It ended at {rfc3339(row.ends_at)}.")


def _check_overlap(row: Delegation) -> None:
    """Raise `DelegationOverlaps` if a delegation in force covers part of the period. Locks out concurrent checks."""
    Membership.objects.select_for_update().filter(tenant_id=row.tenant_id, user_id=row.delegator_id).first()
    others = Delegation.objects.filter(
        tenant_id=row.tenant_id, delegator_id=row.delegator_id, consented_at__isnull=False
    ).exclude(id=row.id)
    if others.filter(starts_at__lt=row.ends_at, ends_at__gt=row.starts_at).exists():
        raise errors.DelegationOverlaps(f"{row.delegator.username} has a delegate in that time already.")


def _check_times(starts_at: datetime, ends_at: datetime, *, now: datetime) -> None:
    problem = ""
    if ends_at <= max(starts_at, now):
        problem = "must lie after starts_at and in the future"
    elif ends_at - starts_at > LONGEST:
        problem = f"must lie at most {LONGEST.days} days after starts_at"
    if problem:
        raise errors.InvalidRequest(f"ends_at {problem}.", errors=[FieldError("/ends_at", problem)])


def _check_people(row: Delegation) -> None:
    """Raise an error unless delegator and delegate are people here and the delegate may stand in."""
    found = {
        member.id: member
        for member in members(row.tenant_id, among=[row.delegator_id, row.delegate_id], humans_only=True)
        if member.is_accepted
    }
    if row.delegator_id not in found:
        raise errors.InvalidRequest(
            "Only people who are members of this tenant have delegates.",
            errors=[FieldError("/delegator", "is not a person here")],
        )
    member = found.get(row.delegate_id)
    if member is None or not member.decides_somewhere or row.delegate_id == row.delegator_id:
        raise _not_eligible(row, "name another person of this tenant who holds decisions:decide.")
    is_proposed = row.created_by != row.delegator_id
    if is_proposed and not is_independent_of(row.delegate_id, [row.created_by], tenant_id=row.tenant_id):
        raise _not_eligible(row, "whoever delegates for others cannot name themselves or people who depend on them.")


def _not_eligible(row: Delegation, advice: str) -> errors.DelegateNotEligible:
    return errors.DelegateNotEligible(
        f"{row.delegate.username} cannot stand in for {row.delegator.username}: {advice}",
        errors=[FieldError("/delegate", "cannot stand in", "not_eligible")],
    )


def _outcome(row: Delegation) -> dict[str, bool]:
    return {"consented": row.consented_at is not None}


def _inputs(row: Delegation) -> dict[str, str]:
    return {
        "delegation": row.public_id,
        "delegator": ids.public_id(ids.PRINCIPAL, row.delegator_id),
        "delegate": ids.public_id(ids.PRINCIPAL, row.delegate_id),
        "starts_at": rfc3339(row.starts_at),
        "ends_at": rfc3339(row.ends_at),
    }
