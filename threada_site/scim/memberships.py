"""Memberships of provisioned people in the tenant and its groups."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from policies.configuration.removal import check_nobody_asks
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.identity.departure.end import end_membership
from threada_site.identity.departure.outcome import DepartureReason
from threada_site.identity.departure.restore import restore_membership
from threada_site.identity.grants.grant_records import end_grants, record_grants
from threada_site.identity.providers.provisioned import roles_of_group
from threada_site.identity.selectors import scopes_of_roles
from threada_site.kernel import clock, errors
from threada_site.kernel.context import INSIDE_WORKFLOW_MANAGE, Scope
from threada_site.scim.authority import Client
from threada_site.tenancy.authority_models import GrantKind
from threada_site.tenancy.directory.provisioning_models import SOURCE
from threada_site.tenancy.models import (
    Membership,
    PeopleGroupMember,
    ProvisionedGroup,
    ProvisionedGroupMember,
    ProvisionedPerson,
    User,
)

_DECIDES_OR_MANAGES: Final = INSIDE_WORKFLOW_MANAGE | {
    Scope.WORKFLOW_MANAGE,
    Scope.ACTIONS_FREEZE,
    Scope.IDENTITY_PROVISION,
    Scope.CONFIGURATION_WRITE,
}


def end(person: User, *, client: Client) -> None:
    """End the membership with everything that only it justified, in this unit of work."""
    end_membership(person, reason=DepartureReason.DEPROVISIONED, ctx=client.ctx)


def begin(person: User, *, is_return: bool, client: Client) -> None:
    """Make a person a member, without tokens, sessions or roles of a previous membership. Receipt `member.added`."""
    ctx = client.ctx
    record_grants([person.id], GrantKind.MEMBER, source=SOURCE, by=client.sole_author, ctx=client.confirming)
    if is_return:
        restore_membership(person, source=SOURCE, ctx=ctx)
        return
    Membership.objects.create(tenant_id=ctx.tenant_id, user=person, added_by=ctx.principal_id, accepted_at=clock.now())
    record(Entry(kind="member.added", inputs={"principal": person.public_id, "source": SOURCE}), ctx=ctx)


def join_groups(row: ProvisionedPerson, *, client: Client) -> None:
    """Add a person who became a member again to the groups in which the client has the person."""
    groups = ProvisionedGroup.objects.filter(tenant_id=client.ctx.tenant_id, people__person=row)
    for group in groups.select_related("group").order_by("id"):
        write_members(group, joining=[row], leaving=[], client=client)


def leave_all_groups(row: ProvisionedPerson, *, client: Client) -> None:
    """Take a person out of the groups in which the client has the person."""
    ProvisionedGroupMember.objects.filter(tenant_id=client.ctx.tenant_id, person=row).delete()


def write_members(
    group: ProvisionedGroup,
    *,
    joining: Collection[ProvisionedPerson],
    leaving: Collection[ProvisionedPerson],
    client: Client,
) -> None:
    """Change the group of the tenant that belongs to a provisioned group. Only members of the tenant are in it.

    Raise `PermissionDenied` if a client without an owner adds people to a group that decides or manages.
    """
    if joining:
        _check_owned(group, client=client)
    tenant_id, slug = client.ctx.tenant_id, group.group.slug
    leavers = [person.user_id for person in leaving]
    PeopleGroupMember.objects.filter(tenant_id=tenant_id, group=group.group, membership__user_id__in=leavers).delete()
    end_grants(leavers, GrantKind.GROUP, slug, ctx=client.ctx)
    found = Membership.objects.filter(tenant_id=tenant_id, user_id__in=[person.user_id for person in joining])
    members = list(found.order_by("id"))
    PeopleGroupMember.objects.bulk_create(
        [PeopleGroupMember(tenant_id=tenant_id, group=group.group, membership=membership) for membership in members],
        ignore_conflicts=True,
    )
    record_grants(
        [membership.user_id for membership in members],
        GrantKind.GROUP,
        slug,
        source=SOURCE,
        by=client.sole_author,
        ctx=client.confirming,
    )


def _check_owned(group: ProvisionedGroup, *, client: Client) -> None:
    """Raise `PermissionDenied` if nobody answers for the client and the group decides or manages.

    It does if an identity provider gives a role with such a scope to it, or an approval rule or an overlay names it.
    """
    if client.has_owner:
        return
    ctx = client.ctx
    roles = roles_of_group(group)
    scopes = {Scope(scope) for held in scopes_of_roles(roles, tenant_id=ctx.tenant_id).values() for scope in held}
    try:
        check_nobody_asks("group", group.group.slug, ctx=ctx)
        is_asked = False
    except errors.InUse:
        is_asked = True
    if is_asked or scopes & _DECIDES_OR_MANAGES:
        raise errors.PermissionDenied(
            f"The group {group.display_name} decides or manages, and nobody answers for {ctx.principal_name}. "
            "A steward or the operator names its owner (set_owner)."
        )
