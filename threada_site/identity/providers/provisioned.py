"""People whom a provisioning client added, as identity providers see them: by external id, with provisioned groups.

An identity provider whose document names `claims.scim_external_id` signs in provisioned people only. Their roles follow
from the groups that the client maintains, not from the claim `groups`. A person binds a group to roles by writing a
version of the provider that names it. A group that gets the name later is bound by the next version.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable

from django.db.models import F, Q, QuerySet

from threada_site.identity.providers.documents import read_spec
from threada_site.identity.providers.role_grants import sync_roles
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.tenancy.authority_models import AccountDependence, DependenceReason
from threada_site.tenancy.models import (
    IdentityProvider,
    IdentityProviderVersion,
    ProvisionedGroup,
    ProvisionedGroupMember,
    ProvisionedPerson,
    User,
)


def provisioned_person(external_id: str, *, tenant_id: uuid.UUID) -> ProvisionedPerson | None:
    """Return the person with this external id, active or not, unless the client deleted the person.

    Locks the row, so that the external id does not change while the person is linked. Raise `IdentityLinkSuspended`
    while the external id is not confirmed (`has_unconfirmed_id`).
    """
    rows = ProvisionedPerson.objects.select_related("user").select_for_update(of=("self",))
    found = rows.filter(tenant_id=tenant_id, deleted_at=None, external_id=external_id).first() if external_id else None
    if found is not None and has_unconfirmed_id(found.user_id, tenant_id=tenant_id):
        raise errors.IdentityLinkSuspended(
            "A provisioning client gave you another external id. A tenant administrator must confirm your account."
        )
    return found


def has_unconfirmed_id(person_id: uuid.UUID, *, tenant_id: uuid.UUID) -> bool:
    """Return True if a client gave a person who could sign in another external id, which nobody has confirmed yet."""
    rows = AccountDependence.objects.filter(
        tenant_id=tenant_id, user_id=person_id, reason=DependenceReason.LINKED, ended_at=None
    )
    return rows.exclude(depends_on__kind=PrincipalKind.HUMAN.value).exists()


def unconfirmed_people(tenant_id: uuid.UUID) -> QuerySet[User]:
    """Return the members whom clients added and nobody has confirmed, except for those with another external id."""
    open_rows = AccountDependence.objects.filter(tenant_id=tenant_id, ended_at=None)
    rows = ProvisionedPerson.objects.filter(tenant_id=tenant_id, is_active=True, deleted_at=None)
    people = User.objects.filter(kind=PrincipalKind.HUMAN.value, id__in=rows.values("user_id"))
    by_client = open_rows.exclude(depends_on__kind=PrincipalKind.HUMAN.value)
    renamed = by_client.filter(reason=DependenceReason.LINKED)
    return people.filter(id__in=by_client.values("user_id")).exclude(id__in=renamed.values("user_id")).order_by("id")


def bound_groups(
    people: Collection[User], version: IdentityProviderVersion, *, tenant_id: uuid.UUID
) -> dict[uuid.UUID, frozenset[str]]:
    """Return the names of the provisioned groups of each of these people that had them when `version` was written."""
    rows = ProvisionedGroupMember.objects.filter(
        Q(group__named_at=None) | Q(group__named_at__lte=version.created_at),
        tenant_id=tenant_id,
        person__user__in=people,
        person__deleted_at=None,
    )
    found: dict[uuid.UUID, set[str]] = defaultdict(set)
    for user_id, name in rows.values_list("person__user_id", "group__display_name"):
        found[user_id].add(name)
    return {person.id: frozenset(found[person.id]) for person in people}


def unbound_groups(version: IdentityProviderVersion, *, tenant_id: uuid.UUID) -> QuerySet[ProvisionedGroup]:
    """Return the provisioned groups that `version` names and that got their names later: no role follows from them."""
    spec = read_spec(version.spec)
    rows = ProvisionedGroup.objects.filter(tenant_id=tenant_id, named_at__gt=version.created_at)
    named = rows.filter(display_name__in=list(spec.roles))
    return named.order_by("display_name") if spec.claims.get("scim_external_id") else named.none()


def roles_of_group(group: ProvisionedGroup) -> frozenset[str]:
    """Return the roles to which identity providers bind a group."""
    return frozenset(
        role
        for version in _versions(group.tenant_id)
        if group.named_at is None or group.named_at <= version.created_at
        for role in read_spec(version.spec).roles.get(group.display_name, ())
    )


def maps_group(name: str, *, tenant_id: uuid.UUID) -> bool:
    """Return True if an identity provider of provisioned people gives roles to a group with this name."""
    return any(name in read_spec(version.spec).roles for version in _versions(tenant_id))


def sync_provisioned_roles(people: Iterable[ProvisionedPerson], *, by: uuid.UUID | None, ctx: ActingContext) -> None:
    """Give active people the roles of their provisioned groups, and withdraw those of groups they left.

    `by`: the steward who alone decided on the provisioning client. `ctx` is the system's.
    """
    active = [person.user for person in people if person.is_active]
    versions = _versions(ctx.tenant_id)
    if not active or not versions:
        return
    for version in versions:
        groups = bound_groups(active, version, tenant_id=ctx.tenant_id)
        for person in active:
            sync_roles(person, version, groups[person.id], by=by, ctx=ctx)


def _versions(tenant_id: uuid.UUID) -> list[IdentityProviderVersion]:
    """Return the versions in force of identity providers that sign in provisioned people."""
    rows = IdentityProvider.objects.filter(tenant_id=tenant_id, current_version__isnull=False)
    current = IdentityProviderVersion.objects.select_related("provider").filter(
        tenant_id=tenant_id, provider__in=rows, id=F("provider__current_version_id")
    )
    return [version for version in current.order_by("id") if read_spec(version.spec).claims.get("scim_external_id")]
