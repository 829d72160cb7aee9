"""Emergency publications: a second person confirms one, or the previous version is put back in force.

Every service locks the policy first, so that a confirmation, the end of the time box and a newer version are
serialized.
"""

from __future__ import annotations

import uuid

from policies.drafts.edit import version_entry
from policies.lifecycle import EmergencyStatus, PolicyVersionStatus
from policies.models import EmergencyPublication, Policy, PolicyVersion
from policies.publication.in_force import enqueue_re_evaluation
from policies.publication.rules import check_may_confirm
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import TransitionNotAllowed
from threada_site.tenancy.credentials.deciding import check_authentication
from threada_site.tenancy.independence import are_independent, read_controllers, require_known_owner


def replace_emergency(policy: Policy, *, by: PolicyVersion, ctx: ActingContext) -> None:
    """Retire the version of an open emergency, or withdraw an announced one, because the version `by` is published.

    Receipt `policy.emergency_ended`.
    """
    found = open_emergency_of(policy)
    if found is None:
        return
    if found.status == EmergencyStatus.ANNOUNCED:
        close_emergency(found, EmergencyStatus.WITHDRAWN, ctx=ctx)
    else:
        _retire(found, EmergencyStatus.REPLACED, in_force=by, ctx=ctx)


def note_retired(policy: Policy, *, ctx: ActingContext) -> None:
    """Close the open emergency of the policy, if any, because its version was retired."""
    found = open_emergency_of(policy)
    if found is not None and found.status == EmergencyStatus.OPEN:
        _close(found, EmergencyStatus.RETIRED, ctx=ctx)


def open_emergency_of(policy: Policy) -> EmergencyPublication | None:
    """Return the announced or open emergency of a locked policy, or None."""
    rows = EmergencyPublication.objects.filter(
        tenant_id=policy.tenant_id, policy=policy, status__in=[EmergencyStatus.ANNOUNCED, EmergencyStatus.OPEN]
    )
    return rows.select_for_update(of=("self",)).first()


def confirm_emergency(emergency: EmergencyPublication, *, ctx: ActingContext) -> EmergencyPublication:
    """Confirm an emergency publication as an independent person; the version stays in force.

    Receipt `policy.emergency_confirmed`. Raises `TransitionNotAllowed` when it is not open, `EmergencyOver`,
    `PersonRequired`, `SecondPersonRequired`.
    """
    _, found = locked_emergency(emergency, ctx=ctx)
    _check_is_open(found)
    now = clock.now()
    controllers = read_controllers(ctx.tenant_id, {ctx.principal_id, found.published_by})
    is_independent = are_independent(ctx.principal_id, found.published_by, controllers)
    check_may_confirm(is_independent=is_independent, ends_at=found.ends_at, now=now, ctx=ctx)
    check_authentication(ctx=ctx)
    _close(found, EmergencyStatus.CONFIRMED, ctx=ctx)
    record(_entry("policy.emergency_confirmed", found), ctx=ctx)
    return found


def end_emergency(emergency: EmergencyPublication, *, ctx: ActingContext) -> EmergencyPublication:
    """End an emergency publication: retire its version and put the previous version back in force.

    If the previous version was retired, nothing is in force and the policy denies. Open steps of the retired version
    are re-evaluated. An announced one is withdrawn. Receipt `policy.emergency_ended`. Raises `TransitionNotAllowed`
    when it is not open, `OwnerRequired` for an agent or a service without a known owner.
    """
    require_known_owner(ctx)
    policy, found = locked_emergency(emergency, ctx=ctx)
    if found.status == EmergencyStatus.ANNOUNCED:
        close_emergency(found, EmergencyStatus.WITHDRAWN, ctx=ctx)
        return found
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
    _, locked = locked_emergency(found, ctx=ctx)
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
    enqueue_re_evaluation([version.id], ctx=ctx)


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


def close_emergency(emergency: EmergencyPublication, status: EmergencyStatus, *, ctx: ActingContext) -> None:
    """Close an emergency publication without a change of the rules. Receipt `policy.emergency_ended`."""
    _close(emergency, status, ctx=ctx)
    record(_entry("policy.emergency_ended", emergency), ctx=ctx)


def locked_emergency(emergency: EmergencyPublication, *, ctx: ActingContext) -> tuple[Policy, EmergencyPublication]:
    """Lock and return the policy and the current row of an emergency publication."""
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
