"""Emergency publications: a second person confirms one, or the previous version is put back in force.

Every service locks the policy first, so that a confirmation, the end of the time box and a newer version are
serialized.
"""

from __future__ import annotations

import uuid
from typing import Final

from policies.drafts.edit import version_entry
from policies.lifecycle import EmergencyStatus, PolicyVersionStatus
from policies.models import EmergencyPublication, Policy, PolicyVersion
from policies.publication.rules import Emergency, check_may_confirm
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.jobs.enqueue import enqueue
from threada_site.kernel import clock, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import EmergencyPending, TransitionNotAllowed

RE_EVALUATE_FOR_POLICIES: Final = "workitems.re_evaluate_for_policies"
"""Task that supersedes open steps pinning one of `policy_version_ids` (UUIDs as text) and re-evaluates them."""


def open_emergency(
    version: PolicyVersion, emergency: Emergency, *, policy: Policy, replaces: uuid.UUID | None, ctx: ActingContext
) -> EmergencyPublication:
    """Create the emergency publication of a version. Raises `EmergencyPending` while another one is open."""
    if open_emergency_of(policy) is not None:
        raise EmergencyPending
    now = version.published_at or clock.now()
    return EmergencyPublication.objects.create(
        tenant_id=ctx.tenant_id,
        policy=policy,
        version=version,
        replaced_version_id=replaces,
        reason=emergency.reason.strip(),
        published_by=ctx.principal_id,
        published_at=now,
        ends_at=now + emergency.lasts,
    )


def replace_emergency(policy: Policy, *, by: PolicyVersion, ctx: ActingContext) -> None:
    """Retire the version of an open emergency, because the version `by` is published.

    Receipt `policy.emergency_ended`.
    """
    found = open_emergency_of(policy)
    if found is not None:
        _retire(found, EmergencyStatus.REPLACED, in_force=by, ctx=ctx)


def note_retired(policy: Policy, *, ctx: ActingContext) -> None:
    """Close the open emergency of the policy, if any, because its version was retired."""
    found = open_emergency_of(policy)
    if found is not None:
        _close(found, EmergencyStatus.RETIRED, ctx=ctx)


def open_emergency_of(policy: Policy) -> EmergencyPublication | None:
    """Return the open emergency of a locked policy, or None."""
    rows = EmergencyPublication.objects.filter(tenant_id=policy.tenant_id, policy=policy, status=EmergencyStatus.OPEN)
    return rows.select_for_update(of=("self",)).first()


def confirm_emergency(emergency: EmergencyPublication, *, ctx: ActingContext) -> EmergencyPublication:
    """Confirm an emergency publication as a second person; the version stays in force.

    Receipt `policy.emergency_confirmed`. Raises `TransitionNotAllowed` when it is not open, `EmergencyOver`,
    `PersonRequired`, `SecondPersonRequired`.
    """
    _, found = _locked(emergency, ctx=ctx)
    _check_is_open(found)
    now = clock.now()
    check_may_confirm(published_by=found.published_by, ends_at=found.ends_at, now=now, ctx=ctx)
    _close(found, EmergencyStatus.CONFIRMED, ctx=ctx)
    record(_entry("policy.emergency_confirmed", found), ctx=ctx)
    return found


def end_emergency(emergency: EmergencyPublication, *, ctx: ActingContext) -> EmergencyPublication:
    """End an emergency publication: retire its version and put the previous version back in force.

    If the previous version was retired, nothing is in force and the policy denies. Open steps of the retired version
    are re-evaluated. Receipt `policy.emergency_ended`. Raises `TransitionNotAllowed` when it is not open.
    """
    policy, found = _locked(emergency, ctx=ctx)
    _check_is_open(found)
    policy.in_force = _back_in_force(found, ctx=ctx)
    policy.save(update_fields=["in_force"])
    _retire(found, EmergencyStatus.ENDED, in_force=policy.in_force, ctx=ctx)
    return found


def end_overdue_emergency(emergency_id: uuid.UUID, *, ctx: ActingContext) -> bool:
    """End an emergency past its time box. Return False if it is not past it, or no longer open."""
    require_unit_of_work(ctx.tenant_id)
    found = EmergencyPublication.objects.filter(tenant_id=ctx.tenant_id, id=emergency_id).first()
    if found is None:
        return False
    _, locked = _locked(found, ctx=ctx)
    if locked.status != EmergencyStatus.OPEN or clock.now() < locked.ends_at:
        return False
    end_emergency(locked, ctx=ctx)
    return True


def _retire(
    emergency: EmergencyPublication, status: EmergencyStatus, *, in_force: PolicyVersion | None, ctx: ActingContext
) -> None:
    rows = PolicyVersion.objects.select_for_update(of=("self",), no_key=True).select_related("policy")
    version = rows.get(tenant_id=ctx.tenant_id, id=emergency.version_id)
    version.status = PolicyVersionStatus.RETIRED
    version.retired_by = None if ctx.is_system else ctx.principal_id
    version.retired_at = clock.now()
    version.save(update_fields=["status", "retired_by", "retired_at"])
    emergency.version = version
    _close(emergency, status, ctx=ctx)
    back = in_force.public_id if in_force else None
    record(_entry("policy.emergency_ended", emergency, in_force=back), ctx=ctx)
    enqueue(RE_EVALUATE_FOR_POLICIES, tenant_id=ctx.tenant_id, policy_version_ids=[str(version.id)])


def _back_in_force(emergency: EmergencyPublication, *, ctx: ActingContext) -> PolicyVersion | None:
    """Put the previous version back in force unless it was retired; steps that pin it accept votes again."""
    if emergency.replaced_version_id is None:
        return None
    before = (
        PolicyVersion.objects.select_for_update(of=("self",), no_key=True)
        .filter(tenant_id=ctx.tenant_id, id=emergency.replaced_version_id, status=PolicyVersionStatus.PUBLISHED)
        .first()
    )
    if before is not None and before.superseded_at is not None:
        before.superseded_at = None
        before.save(update_fields=["superseded_at"])
    return before


def _locked(emergency: EmergencyPublication, *, ctx: ActingContext) -> tuple[Policy, EmergencyPublication]:
    require_unit_of_work(ctx.tenant_id)
    policy = Policy.objects.select_for_update(no_key=True).get(tenant_id=ctx.tenant_id, id=emergency.policy_id)
    rows = EmergencyPublication.objects.select_for_update(of=("self",)).select_related("version__policy")
    return policy, rows.get(tenant_id=ctx.tenant_id, id=emergency.id)


def _check_is_open(emergency: EmergencyPublication) -> None:
    if emergency.status != EmergencyStatus.OPEN:
        raise TransitionNotAllowed(f"This emergency publication is already {emergency.status}.")


def _close(emergency: EmergencyPublication, status: EmergencyStatus, *, ctx: ActingContext) -> None:
    emergency.status = status
    emergency.closed_by = None if ctx.is_system else ctx.principal_id
    emergency.closed_at = clock.now()
    emergency.save(update_fields=["status", "closed_by", "closed_at"])


def _entry(kind: str, emergency: EmergencyPublication, **outcome: str | None) -> Entry:
    return version_entry(
        kind,
        emergency.version,
        published_by=ids.public_id(ids.PRINCIPAL, emergency.published_by),
        ends_at=rfc3339(emergency.ends_at),
        emergency=str(emergency.status),
        **outcome,
    )
