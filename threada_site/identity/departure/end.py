"""End of a membership, and of everything that only the membership justified, in one unit of work.

The account stays; with the last membership its password and its second factors end. What other applications hold is
ended by `THREADA_DEPARTURE_HANDLER`: delegations, claims and assignments of decision steps, which are counted again.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings
from django.db.models import F
from django.utils.module_loading import import_string

from telemetry.exports.request import cancel_export
from telemetry.lifecycle import ExportStatus
from telemetry.models import TelemetryExport
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.console_sessions.ending import end_sessions_in
from threada_site.identity.departure.access import (
    close_change_sets,
    end_identity_links,
    issued_for_others,
    revoke_credentials,
    withdraw_account_links,
)
from threada_site.identity.departure.last_two import keep_rule_of_two_stewards
from threada_site.identity.departure.outcome import Departure, DepartureReason
from threada_site.identity.departure.tell import tell_of_departure
from threada_site.identity.dependence import record_dependence
from threada_site.identity.factors.enrolled import remove_factors
from threada_site.identity.grants.grant_records import end_grants
from threada_site.identity.grants.object_grants import withdraw_scopes_on_objects
from threada_site.identity.known_as import known_as
from threada_site.identity.selectors import tenants_of_person
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.tenancy.authority_models import DependenceReason
from threada_site.tenancy.models import Membership, ProvisionedPerson, Role, User


def end_membership(principal: User, *, reason: DepartureReason, ctx: ActingContext) -> Departure:
    """End the membership of a principal in the tenant of `ctx`. Receipt `member.removed` with everything that ended.

    Nothing happens without a membership, except that what a previous departure left over ends too. Sessions of somebody
    who has not accepted the invitation go on: they are not of this tenant. The caller has checked permissions and
    confirmation.
    """
    require_unit_of_work(ctx.tenant_id)
    named = known_as(principal, tenant_id=ctx.tenant_id)
    is_invited = named != principal.public_id
    work = _end_work(principal, ctx=ctx)  # locks delegations before the membership, as their services do
    membership = Membership.objects.select_for_update().filter(tenant_id=ctx.tenant_id, user=principal).first()
    if membership is not None:
        keep_rule_of_two_stewards(principal, reason, ctx=ctx)
        _keep_controllers(principal, membership, ctx=ctx)
        membership.delete()
    ProvisionedPerson.objects.filter(tenant_id=ctx.tenant_id, user=principal, is_active=True).update(
        is_active=False, version=F("version") + 1
    )
    account_links = withdraw_account_links(principal, ctx=ctx)
    change_sets = close_change_sets(principal, ctx=ctx)
    groups = list(Role.objects.filter(tenant_id=ctx.tenant_id).values_list("group_id", flat=True))
    principal.groups.remove(*groups)
    withdraw_scopes_on_objects(principal, ctx=ctx)
    end_grants([principal.id], ctx=ctx)
    exports = _cancel_exports(principal, ctx=ctx)
    credentials = revoke_credentials(principal, ctx=ctx)
    identity_links = end_identity_links(principal, ctx=ctx)
    is_last = membership is not None and not tenants_of_person(principal)
    if is_last:
        principal.set_unusable_password()
        principal.save(update_fields=["password"])
    departure = Departure(
        was_member=membership is not None,
        is_last=is_last,
        second_factors=remove_factors(principal.id) if is_last else (),
        sessions=() if is_invited else end_sessions_in(principal, is_everywhere=is_last, ctx=ctx),
        credentials=credentials,
        identity_links=identity_links,
        account_links=account_links,
        change_sets=change_sets,
        exports=exports,
        issued=issued_for_others(principal, ctx=ctx),
        work=work,
    )
    if departure.was_member:
        inputs = {"principal": named, "reason": reason.value}
        outcome = departure.as_outcome()
        record(Entry(kind="member.removed", inputs=inputs, outcome=outcome, accounts=(principal.id,)), ctx=ctx)
        tell_of_departure(principal, departure, reason, ctx=ctx)
    return departure


def _end_work(principal: User, *, ctx: ActingContext) -> dict[str, tuple[str, ...]]:
    handler = import_string(settings.THREADA_DEPARTURE_HANDLER)
    ended: Mapping[str, tuple[str, ...]] = handler(principal.id, ctx=ctx)
    return dict(ended)


def _keep_controllers(principal: User, membership: Membership, *, ctx: ActingContext) -> None:
    """Record that a service or an agent still depends on who controlled it: what it did stays theirs."""
    if principal.kind == PrincipalKind.HUMAN:
        return
    for controller, why in (
        (membership.owner_id, DependenceReason.OWNED),
        (membership.added_by, DependenceReason.CREATED),
    ):
        if controller is not None:
            record_dependence(principal, why, on=controller, ctx=ctx)


def _cancel_exports(principal: User, *, ctx: ActingContext) -> tuple[str, ...]:
    """Cancel the exports that the person requested and that are not written yet."""
    rows = TelemetryExport.objects.filter(
        tenant_id=ctx.tenant_id,
        requested_by=principal.id,
        status__in=[ExportStatus.REQUESTED, ExportStatus.RUNNING],
    )
    found = list(rows.select_for_update().order_by("id"))
    for export in found:
        cancel_export(export, ctx=ctx)
    return tuple(export.public_id for export in found)
