"""Selectors of tenants, people, roles and credentials.

Selectors with `ctx` or `tenant_id` run inside its unit of work unless stated otherwise. Principals belong to no
tenant; these queries filter them by membership.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import orjson
from django.db import connection
from django.db.models import OuterRef, QuerySet, Subquery
from guardian.models import GroupObjectPermission

from threada_site.identity.known_as import member_named
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, EntryPoint, ObjectGrants, PrincipalKind, Scope, Visibility
from threada_site.tenancy.effective_permissions import EffectivePermissions, effective_permissions
from threada_site.tenancy.models import (
    Credential,
    IdentityProvider,
    Membership,
    PeopleGroup,
    PersonalToken,
    ProvisionedGroup,
    ProvisionedPerson,
    Role,
    User,
)


class TenantChoice(NamedTuple):
    """Tenant in which a person may work. `takes_password`: also in a session with a password.

    `requires_mfa`: the tenant requires a second factor of some roles. `needs_second_factor`: the person has one of
    these roles.
    """

    tenant_id: uuid.UUID
    slug: str
    name: str
    takes_password: bool = True
    requires_mfa: bool = False
    needs_second_factor: bool = False
    grants: tuple[tuple[Any, ...], ...] | None = None
    """Rows of `threada_grants`, if they were read."""


_TENANTS: Final = """
    SELECT t.tenant_id, t.slug, t.name, t.takes_password, t.requires_mfa, t.needs_second_factor,
           CASE WHEN t.slug = coalesce(%s, t.slug) THEN
               (SELECT coalesce(
                   jsonb_agg(jsonb_build_array(g.role_slug, g.model, g.object_id, g.codename, g.visibility)), '[]')
                  FROM threada_grants(%s, t.tenant_id) g) END
      FROM threada_tenants_of(%s) t
"""


def tenants_of_person(user: User) -> list[TenantChoice]:
    """Return the active tenants whose invitation `user` accepted, by slug. Needs no unit of work."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tenant_id, slug, name, takes_password, requires_mfa, needs_second_factor "
            "FROM threada_tenants_of(%s)",
            [user.id],
        )
        return [TenantChoice(*row) for row in cursor.fetchall()]


def tenants_with_grants(user: User, *, chosen: str | None) -> list[TenantChoice]:
    """Return `tenants_of_person`, that with the slug `chosen` with its grants; without a slug, all with theirs.

    One statement, for the context of every request of the console. Needs no unit of work.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TENANTS, [chosen, user.id, user.id])
        return [
            TenantChoice(*row)._replace(grants=None if grants is None else tuple(map(tuple, orjson.loads(grants))))
            for *row, grants in cursor.fetchall()
        ]


def belongs_elsewhere(user: User, *, tenant_id: uuid.UUID) -> bool:
    """Return True if `user` is a member of another tenant, or invited to one. Needs no unit of work."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT threada_belongs_elsewhere(%s, %s)", [user.id, tenant_id])
        (found,) = cursor.fetchone()
    return bool(found)


def is_member_somewhere(user: User) -> bool:
    """Return True if `user` is a member of a tenant, active or not, or can return to another one without an invitation.

    A provisioning client makes the people whom it added members again. Needs no unit of work.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT threada_is_member_somewhere(%s)", [user.id])
        (found,) = cursor.fetchone()
    return bool(found)


def console_context(
    user: User, tenant_slug: str, correlation_id: str, *, choices: list[TenantChoice] | None = None
) -> ActingContext:
    """Return the acting context of `user` in the console, with all permissions. Needs no unit of work.

    `choices` are the tenants of the user, if the caller has read them.
    Raise `PrincipalInactive` for an inactive user and `TenantMismatch` for an inactive tenant or a non-member.
    """
    if not user.is_active:
        raise errors.PrincipalInactive
    chosen = next(
        (tenant for tenant in (tenants_of_person(user) if choices is None else choices) if tenant.slug == tenant_slug),
        None,
    )
    if chosen is None:
        raise errors.TenantMismatch("You are not a member of this tenant. Choose another one.")
    permissions = (
        permissions_of_principal(user.id, tenant_id=chosen.tenant_id)
        if chosen.grants is None
        else effective_permissions(chosen.grants, tenant_id=chosen.tenant_id, asked=None)
    )
    return ActingContext(
        tenant_id=chosen.tenant_id,
        tenant_slug=chosen.slug,
        principal_id=user.id,
        principal_kind=PrincipalKind(user.kind),
        principal_name=user.username,
        roles=permissions.roles,
        groups=permissions.groups,
        scopes=permissions.scopes,
        grants=permissions.grants,
        visibility=permissions.visibility,
        entry_point=EntryPoint.CONSOLE,
        correlation_id=correlation_id,
    )


def permissions_of_principal(principal_id: uuid.UUID, *, tenant_id: uuid.UUID) -> EffectivePermissions:
    """Return the permissions from roles and grants in a tenant. Needs no unit of work."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT role_slug, model, object_id, codename, visibility FROM threada_grants(%s, %s)",
            [principal_id, tenant_id],
        )
        return effective_permissions(cursor.fetchall(), tenant_id=tenant_id, asked=None)


def scopes_somewhere(permissions: EffectivePermissions) -> frozenset[Scope]:
    """Return the scopes on the tenant or on at least one object, which a credential may ask for."""
    return permissions.scopes | _on_objects(permissions.grants)


def principals_of_tenant(tenant_id: uuid.UUID) -> QuerySet[User]:
    """Return the principals of the tenant, by name."""
    members = Membership.objects.filter(tenant_id=tenant_id).values("user_id")
    return User.objects.filter(id__in=members).order_by("username")


def principal_of_tenant(tenant_id: uuid.UUID, name: str) -> User | None:
    """Return the principal of the tenant with this name, or None."""
    return principals_of_tenant(tenant_id).filter(username=name).first()


def member_with_id(public_id: str, *, tenant_id: uuid.UUID) -> User:
    """Return the principal whom the tenant knows by this public id (`known_as`). Raise `NotFound`."""
    principal_id = member_named(public_id, tenant_id=tenant_id)
    found = principals_of_tenant(tenant_id).filter(id=principal_id).first() if principal_id else None
    if found is None:
        raise errors.NotFound("There is no such account in this tenant.")
    return found


def roles_of_tenant(tenant_id: uuid.UUID) -> QuerySet[Role]:
    """Return the roles of the tenant, by slug."""
    return Role.objects.filter(tenant_id=tenant_id).order_by("slug")


def credentials_of_tenant(tenant_id: uuid.UUID) -> QuerySet[Credential]:
    """Return the credentials of the tenant with their principals and the name of the `issuer`, newest first."""
    return _with_issuer(Credential.objects.filter(tenant_id=tenant_id))


def personal_tokens(ctx: ActingContext) -> QuerySet[PersonalToken]:
    """Return the credentials of the acting principal with the name of the `issuer`, newest first."""
    return _with_issuer(PersonalToken.objects.filter(tenant_id=ctx.tenant_id, user_id=ctx.principal_id))


def _with_issuer(rows: QuerySet[Any]) -> QuerySet[Any]:
    issuer = User.objects.filter(id=OuterRef("issued_by")).values("username")[:1]
    return rows.annotate(issuer=Subquery(issuer)).select_related("user").order_by("-id")


def credential_of_tenant(tenant_id: uuid.UUID, credential_id: uuid.UUID) -> Credential:
    """Return one credential of the tenant. Raise `NotFound`."""
    credential = credentials_of_tenant(tenant_id).filter(id=credential_id).first()
    if credential is None:
        raise errors.NotFound("There is no such credential in this tenant.")
    return credential


def _on_objects(grants: ObjectGrants) -> frozenset[Scope]:
    return frozenset().union(*grants.workflows.values(), *grants.integrations.values())


def role_scopes(slug: str, *, tenant_id: uuid.UUID) -> frozenset[Scope] | None:
    """Return the scopes of a role of the tenant, or None."""
    scopes = scopes_of_roles([slug], tenant_id=tenant_id).get(slug)
    return None if scopes is None else frozenset(map(Scope, scopes))


def scopes_of_roles(slugs: Iterable[str], *, tenant_id: uuid.UUID) -> dict[str, list[str]]:
    """Return the sorted scopes of each of these roles that the tenant has. Runs two statements."""
    groups = dict(roles_of_tenant(tenant_id).filter(slug__in=list(slugs)).values_list("group_id", "slug"))
    found: dict[str, list[str]] = {slug: [] for slug in sorted(groups.values())}
    rows = GroupObjectPermission.objects.filter(group_id__in=groups, object_pk=str(tenant_id))
    for group_id, codename in rows.values_list("group_id", "permission__codename"):
        found[groups[group_id]] += [scope.value for scope in Scope if scope.codename == codename]
    return {slug: sorted(scopes) for slug, scopes in found.items()}


def roles_of_member(principal: User, *, tenant_id: uuid.UUID) -> list[str]:
    """Return the sorted slugs of the roles that a principal holds in the tenant."""
    return list(roles_of_tenant(tenant_id).filter(group__user=principal).values_list("slug", flat=True))


def role_visibility(slug: str, *, tenant_id: uuid.UUID) -> Visibility | None:
    """Return the visibility of a role of the tenant, or None."""
    found = roles_of_tenant(tenant_id).filter(slug=slug).values_list("visibility", flat=True).first()
    return Visibility(found) if found else None


def role_require_mfa(slug: str, *, tenant_id: uuid.UUID) -> bool | None:
    """Return whether a role requires a second factor; None: if it can decide, or if there is no such role."""
    return roles_of_tenant(tenant_id).filter(slug=slug).values_list("require_mfa", flat=True).first()


def groups_of_tenant(tenant_id: uuid.UUID) -> QuerySet[PeopleGroup]:
    """Return the groups of the tenant, by slug."""
    return PeopleGroup.objects.filter(tenant_id=tenant_id).order_by("slug")


def groups_of_member(membership: Membership) -> list[str]:
    """Return the slugs of a member's groups."""
    groups = groups_of_tenant(membership.tenant_id).filter(memberships__membership_id=membership.id)
    return list(groups.values_list("slug", flat=True))


def group_members(group: PeopleGroup) -> QuerySet[User]:
    """Return the members of a group, by name."""
    return User.objects.filter(
        memberships__tenant_id=group.tenant_id, memberships__group_memberships__group_id=group.id
    ).order_by("username")


def group_member_names(slug: str, *, tenant_id: uuid.UUID) -> list[str] | None:
    """Return the sorted names of a group's members, as in `kind: Group` documents, or None."""
    group = groups_of_tenant(tenant_id).filter(slug=slug).first()
    return None if group is None else list(group_members(group).values_list("username", flat=True))


def identity_providers(tenant_id: uuid.UUID) -> QuerySet[IdentityProvider]:
    """Return the identity providers of the tenant that are in force, with their versions, by slug."""
    rows = IdentityProvider.objects.filter(tenant_id=tenant_id, current_version__isnull=False)
    return rows.select_related("current_version").order_by("slug")


def identity_provider(slug: str, *, tenant_id: uuid.UUID) -> IdentityProvider | None:
    """Return the identity provider of the tenant with this slug, if it is in force."""
    return identity_providers(tenant_id).filter(slug=slug).first()


def provisioned_people(tenant_id: uuid.UUID) -> QuerySet[ProvisionedPerson]:
    """Return the people whom provisioning clients added and did not delete."""
    return ProvisionedPerson.objects.filter(tenant_id=tenant_id, deleted_at=None)


def provisioned_groups(tenant_id: uuid.UUID) -> QuerySet[ProvisionedGroup]:
    """Return the groups that provisioning clients maintain."""
    return ProvisionedGroup.objects.filter(tenant_id=tenant_id)
