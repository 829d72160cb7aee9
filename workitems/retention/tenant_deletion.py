"""Deletion of a whole tenant: one steward requests it, an independent one confirms it, each steward can withdraw it.

The operator carries out what is due (`manage.py tenant delete`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from django.conf import settings

from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.authority_models import ChangeSet, ChangeSetStatus
from threada_site.tenancy.change_sets import ProposedChange, operation, proposer_of, require_confirmation
from threada_site.tenancy.credentials.deciding import require_person
from threada_site.tenancy.deletions.models import TenantDeletion
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES
from workitems.models import LegalHold
from workitems.retention.locks import lock_retention

DELETE: Final = "tenant.delete"
"""Operation that confirms the deletion of the tenant."""
LEAST_WAIT: Final = timedelta(days=1)
_UNDER_WAY: Final = (ExecutionStatus.STARTED, ExecutionStatus.RUNNING)


def request_deletion(slug: str, *, ctx: ActingContext) -> TenantDeletion:
    """Request the deletion of the tenant, or confirm it as the publisher of the change set.

    `slug` must be that of the tenant, so that nobody deletes another one than meant. A second person is needed whatever
    the four-eyes rules say. Receipt `tenant.deletion_confirmed`. Raise `PermissionDenied`, `PersonRequired` (the
    operator, a service or an agent), `InvalidRequest`, `Conflict` (a legal hold, or a deletion that waits already),
    `ConfirmationRequired`.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    lock_retention(ctx=ctx)
    check_may_request(slug, ctx=ctx)
    days = settings.THREADA_TENANT_DELETION_DAYS
    require_confirmation(
        ProposedChange(
            rule=IDENTITY_FOUR_EYES,
            operation=DELETE,
            title=f"Delete the tenant {slug} with all its cases, files and receipts",
            arguments={"tenant": slug, "days": days},
            before={slug: "in use"},
            after={slug: f"deleted by the operator, {days} days after the confirmation at the earliest"},
        ),
        ctx=ctx,
        always=True,
    )
    proposer = proposer_of(ctx)
    if proposer is None or ctx.change_set_id is None:
        raise errors.PersonRequired("A person must request the deletion of a tenant.")
    now = clock.now()
    row = TenantDeletion.objects.create(
        tenant_id=ctx.tenant_id,
        change_set_id=ctx.change_set_id,
        requested_by=proposer,
        confirmed_by=ctx.principal_id,
        confirmed_at=now,
        due_at=now + max(timedelta(days=days), LEAST_WAIT),
    )
    inputs = {"requested_by": ids.public_id(ids.PRINCIPAL, proposer), "due_at": rfc3339(row.due_at)}
    record(Entry(kind="tenant.deletion_confirmed", inputs=inputs), ctx=ctx)
    return row


def check_may_request(slug: str, *, ctx: ActingContext) -> None:
    """Raise the refusals of `request_deletion`, except that it needs a second person."""
    require_steward(ctx)
    require_person("Two people delete a tenant: one requests it, an independent one confirms it.", ctx=ctx)
    if slug != ctx.tenant_slug:
        raise errors.InvalidRequest(
            f"Type the id of the tenant, {ctx.tenant_slug}, to request its deletion.",
            errors=[errors.FieldError("/tenant_id", "is not the id of this tenant", "invalid")],
        )
    check_no_legal_hold(ctx=ctx)
    if pending_deletion(ctx=ctx) is not None:
        raise errors.Conflict("The deletion of this tenant is confirmed already. A steward can withdraw it.")


@operation(DELETE)
def _publish(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    request_deletion(arguments["tenant"], ctx=ctx)


def withdraw_deletion(*, ctx: ActingContext) -> TenantDeletion:
    """Withdraw the confirmed deletion of the tenant, as one steward or the operator.

    Receipt `tenant.deletion_withdrawn`. Raise `PermissionDenied`, `PersonRequired` (a service or an agent), `NotFound`
    if there is none.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    if not ctx.is_system:
        require_person("A person must withdraw the deletion of a tenant.", ctx=ctx)
    lock_retention(ctx=ctx)
    row = pending_deletion(ctx=ctx)
    if row is None:
        raise errors.NotFound("No deletion of this tenant waits.")
    row.withdrawn_by = None if ctx.is_system else ctx.principal_id
    row.withdrawn_at = clock.now()
    row.save(update_fields=["withdrawn_by", "withdrawn_at"])
    inputs = {"requested_by": ids.public_id(ids.PRINCIPAL, row.requested_by)}
    record(Entry(kind="tenant.deletion_withdrawn", inputs=inputs), ctx=ctx)
    return row


def pending_deletion(*, ctx: ActingContext) -> TenantDeletion | None:
    """Return the confirmed deletion of the tenant that nobody has withdrawn, or None."""
    return TenantDeletion.objects.filter(tenant_id=ctx.tenant_id, withdrawn_at=None).first()


def require_due_deletion(*, ctx: ActingContext) -> TenantDeletion:
    """Return the deletion that the operator may begin now. The caller changes nothing before this.

    Locks retention, so that no legal hold is set meanwhile. Raise `Conflict`: nothing is confirmed, it is not due, its
    change set is not the published one, a legal hold is in force, or executions are under way.
    """
    require_unit_of_work(ctx.tenant_id)
    lock_retention(ctx=ctx)
    row = pending_deletion(ctx=ctx)
    if row is None:
        raise errors.Conflict(
            "Two independent stewards have not confirmed the deletion of this tenant, or one has withdrawn it."
        )
    _check_confirmation(row)
    if row.due_at > clock.now():
        raise errors.Conflict(f"The deletion is due at {rfc3339(row.due_at)}. Until then, a steward can withdraw it.")
    check_no_legal_hold(ctx=ctx)
    under_way = Execution.objects.filter(tenant_id=ctx.tenant_id, status__in=_UNDER_WAY).count()
    if under_way:
        raise errors.Conflict(f"{under_way} executions are queued or running. Cancel them, or let them end.")
    return row


def check_no_legal_hold(*, ctx: ActingContext) -> None:
    """Raise `Conflict` if a legal hold of the tenant is in force."""
    holds = LegalHold.objects.filter(tenant_id=ctx.tenant_id, lifted_at=None).count()
    if holds:
        raise errors.Conflict(f"{holds} legal holds are in force. The tenant cannot be deleted before they are lifted.")


def _check_confirmation(row: TenantDeletion) -> None:
    """Raise `Conflict` if the row is not what the publication of its change set wrote."""
    change_set = ChangeSet.objects.filter(tenant_id=row.tenant_id, id=row.change_set_id).first()
    is_published = (
        change_set is not None
        and change_set.operation == DELETE
        and change_set.status == ChangeSetStatus.PUBLISHED
        and change_set.proposed_by == row.requested_by
        and change_set.closed_by == row.confirmed_by != row.requested_by
        and change_set.closed_at is not None
        and row.due_at - change_set.closed_at >= LEAST_WAIT - timedelta(minutes=1)
    )
    if not is_published:
        raise errors.Conflict("The confirmation of the deletion is not the one of its change set. Withdraw it.")
