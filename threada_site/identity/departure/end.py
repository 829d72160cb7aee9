"""End of a membership, and of everything that only the membership justified, in one unit of work.

Second factors and the account stay. What other applications hold is ended by `THREADA_DEPARTURE_HANDLER`: delegations,
claims and assignments of decision steps, which are then counted again.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings
from django.db.models import F, Q
from django.utils.module_loading import import_string

from telemetry.exports.request import cancel_export
from telemetry.lifecycle import ExportStatus
from telemetry.models import TelemetryExport
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.account_links import withdraw_link
from threada_site.identity.change_sets.publish import close_unpublished
from threada_site.identity.console_sessions.ending import end_sessions_in
from threada_site.identity.departure.last_two import keep_rule_of_two_stewards
from threada_site.identity.departure.outcome import Departure, DepartureReason
from threada_site.identity.departure.tell import tell_of_departure
from threada_site.identity.dependence import record_dependence
from threada_site.identity.grants.grant_records import end_grants
from threada_site.identity.grants.object_grants import withdraw_scopes_on_objects
from threada_site.identity.selectors import tenants_of_person
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.tenancy.account_link_models import AccountLink
from threada_site.tenancy.authority_models import ChangeSet, ChangeSetStatus, DependenceReason
from threada_site.tenancy.models import Credential, IdentityLink, Membership, ProvisionedPerson, Role, User


def end_membership(principal: User, *, reason: DepartureReason, ctx: ActingContext) -> Departure:
    """End the membership of a principal in the tenant of `ctx`. Receipt `member.removed` with everything that ended.

    Nothing happens without a membership, except that what a previous departure left over ends too. The caller has
    checked permissions and confirmation.
    """
    require_unit_of_work(ctx.tenant_id)
    work = _end_work(principal, ctx=ctx)  # locks delegations before the membership, as their services do
    membership = Membership.objects.select_for_update().filter(tenant_id=ctx.tenant_id, user=principal).first()
    if membership is not None:
        keep_rule_of_two_stewards(principal, reason, ctx=ctx)
        _keep_controllers(principal, membership, ctx=ctx)
        membership.delete()
    ProvisionedPerson.objects.filter(tenant_id=ctx.tenant_id, user=principal, is_active=True).update(
        is_active=False, version=F("version") + 1
    )
    account_links = _withdraw_account_links(principal, ctx=ctx)
    change_sets = _close_change_sets(principal, ctx=ctx)
    groups = list(Role.objects.filter(tenant_id=ctx.tenant_id).values_list("group_id", flat=True))
    principal.groups.remove(*groups)
    withdraw_scopes_on_objects(principal, ctx=ctx)
    end_grants([principal.id], ctx=ctx)
    exports = _cancel_exports(principal, ctx=ctx)
    credentials = _revoke_credentials(principal, ctx=ctx)
    identity_links = _end_identity_links(principal, ctx=ctx)
    is_last = membership is not None and not tenants_of_person(principal)
    if is_last:
        principal.set_unusable_password()
        principal.save(update_fields=["password"])
    departure = Departure(
        was_member=membership is not None,
        is_last=is_last,
        sessions=end_sessions_in(principal, is_everywhere=is_last, ctx=ctx),
        credentials=credentials,
        identity_links=identity_links,
        account_links=account_links,
        change_sets=change_sets,
        exports=exports,
        issued=_issued_for_others(principal, ctx=ctx),
        work=work,
    )
    if departure.was_member:
        inputs = {"principal": principal.public_id, "reason": reason.value}
        record(Entry(kind="member.removed", inputs=inputs, outcome=departure.as_outcome()), ctx=ctx)
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


def _revoke_credentials(principal: User, *, ctx: ActingContext) -> tuple[str, ...]:
    live = Credential.objects.filter(tenant_id=ctx.tenant_id, user=principal, revoked_at=None)
    revoked = tuple(credential.public_id for credential in live.select_for_update().order_by("id"))
    live.update(revoked_at=clock.now())
    return revoked


def _issued_for_others(principal: User, *, ctx: ActingContext) -> tuple[str, ...]:
    """Return the live credentials of services and agents whose tokens the person has seen, so no exchanged ones."""
    issued = Credential.objects.filter(
        tenant_id=ctx.tenant_id, issued_by=principal.id, revoked_at=None, trusted_issuer_version_id=None
    )
    live = issued.filter(Q(expires_at=None) | Q(expires_at__gt=clock.now())).exclude(user=principal)
    return tuple(credential.public_id for credential in live.order_by("id"))


def _withdraw_account_links(principal: User, *, ctx: ActingContext) -> tuple[str, ...]:
    """Withdraw the links to the account, and those to other accounts that the person made and may know."""
    unused = AccountLink.objects.filter(tenant_id=ctx.tenant_id, used_at=None, withdrawn_at=None)
    found = unused.filter(Q(user=principal) | Q(created_by=principal.id)).select_related("user")
    withdrawn = list(found.select_for_update(of=("self",)).order_by("id"))
    for link in withdrawn:
        withdraw_link(link, ctx=ctx)
    return tuple(link.public_id for link in withdrawn)


def _close_change_sets(principal: User, *, ctx: ActingContext) -> tuple[str, ...]:
    """Close the open change sets that the person proposed, but not the one that is being published."""
    rows = ChangeSet.objects.filter(tenant_id=ctx.tenant_id, proposed_by=principal.id, status=ChangeSetStatus.PROPOSED)
    if ctx.change_set_id is not None:
        rows = rows.exclude(id=ctx.change_set_id)
    found = list(rows.select_for_update().order_by("id"))
    for change_set in found:
        close_unpublished(change_set, "The proposer is no longer a member of the tenant.", ctx=ctx)
    return tuple(change_set.public_id for change_set in found)


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


def _end_identity_links(principal: User, *, ctx: ActingContext) -> tuple[str, ...]:
    """End the links to accounts at identity providers. The rows stay."""
    links = IdentityLink.objects.filter(tenant_id=ctx.tenant_id, user=principal, ended_at=None)
    ended = tuple(link.public_id for link in links.select_for_update().order_by("id"))
    links.update(ended_at=clock.now())
    return ended
