"""Finding tenants, people, roles and credentials.

Those that take `ctx` or a `tenant_id` read inside its unit of work, unless they say otherwise. Principals
belong to no tenant, so the queries here narrow them by membership.
"""

from __future__ import annotations

import uuid
from typing import NamedTuple

from django.contrib.auth.models import Group
from django.db import connection
from django.db.models import Prefetch, QuerySet
from guardian.models import GroupObjectPermission

from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, EntryPoint, ObjectGrants, PrincipalKind, Scope
from threada_site.tenancy.effective_permissions import EffectivePermissions, effective_permissions
from threada_site.tenancy.models import Credential, Membership, PeopleGroup, Role, Tenant, User


class TenantChoice(NamedTuple):
    """A tenant that a person may work in."""

    tenant_id: uuid.UUID
    slug: str
    name: str


class MemberWithRoles(NamedTuple):
    """A member of a tenant with the slugs of the roles held there."""

    principal: User
    roles: tuple[str, ...]


def tenant_by_slug(slug: str) -> Tenant:
    """The tenant, active or not. Raises `NotFound`. Needs no unit of work."""
    tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        raise errors.NotFound(f"There is no tenant {slug[:63]!r}. Create it with manage.py create_tenant.")
    return tenant


def tenants_of_person(user: User) -> list[TenantChoice]:
    """The active tenants that `user` belongs to, by slug. Needs no unit of work."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id, slug, name FROM threada_tenants_of(%s)", [user.id])
        return [TenantChoice(*row) for row in cursor.fetchall()]


def console_context(user: User, tenant_slug: str, correlation_id: str) -> ActingContext:
    """`user` acting in a tenant through the console, with all that the roles held there give. Needs no unit of work.

    Raises `PrincipalInactive` for a user that is switched off and `TenantMismatch` for a tenant that is switched off or
    that the user does not belong to.
    """
    if not user.is_active:
        raise errors.PrincipalInactive
    chosen = next((tenant for tenant in tenants_of_person(user) if tenant.slug == tenant_slug), None)
    if chosen is None:
        raise errors.TenantMismatch("You do not belong to this tenant. Choose another.")
    permissions = permissions_of_principal(user.id, tenant_id=chosen.tenant_id)
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
        entry_point=EntryPoint.CONSOLE,
        correlation_id=correlation_id,
    )


def permissions_of_principal(principal_id: uuid.UUID, *, tenant_id: uuid.UUID) -> EffectivePermissions:
    """What a principal's roles and single grants give in a tenant. Needs no unit of work."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT role_slug, model, object_id, codename FROM threada_grants(%s, %s)", [principal_id, tenant_id]
        )
        return effective_permissions(cursor.fetchall(), tenant_id=tenant_id, asked=None)


def scopes_somewhere(permissions: EffectivePermissions) -> frozenset[Scope]:
    """Scopes held on the tenant or on at least one object: what a credential may ask for."""
    return permissions.scopes | _on_objects(permissions.grants)


def principals_of_tenant(tenant_id: uuid.UUID) -> QuerySet[User]:
    """The principals that belong to the tenant, by name."""
    members = Membership.objects.filter(tenant_id=tenant_id).values("user_id")
    return User.objects.filter(id__in=members).order_by("username")


def principal_of_tenant(tenant_id: uuid.UUID, name: str) -> User | None:
    """The principal with that name, when it belongs to the tenant."""
    return principals_of_tenant(tenant_id).filter(username=name).first()


def members_with_roles(ctx: ActingContext) -> list[MemberWithRoles]:
    """Return the tenant's members with the roles held there, by name, in three statements."""
    roles = dict(Role.objects.filter(tenant_id=ctx.tenant_id).values_list("group_id", "slug"))
    groups = Prefetch("groups", queryset=Group.objects.filter(id__in=roles))
    return [
        MemberWithRoles(user, tuple(sorted(roles[group.pk] for group in user.groups.all())))
        for user in principals_of_tenant(ctx.tenant_id).prefetch_related(groups)
    ]


def roles_of_tenant(tenant_id: uuid.UUID) -> QuerySet[Role]:
    """The tenant's roles, by slug."""
    return Role.objects.filter(tenant_id=tenant_id).order_by("slug")


def credentials_of_tenant(tenant_id: uuid.UUID) -> QuerySet[Credential]:
    """The tenant's credentials with their principals, newest first."""
    return Credential.objects.filter(tenant_id=tenant_id).select_related("user").order_by("-id")


def credential_of_tenant(tenant_id: uuid.UUID, credential_id: uuid.UUID) -> Credential:
    """One credential of the tenant. Raises `NotFound`."""
    credential = credentials_of_tenant(tenant_id).filter(id=credential_id).first()
    if credential is None:
        raise errors.NotFound("There is no such credential in this tenant.")
    return credential


def _on_objects(grants: ObjectGrants) -> frozenset[Scope]:
    return frozenset().union(*grants.workflows.values(), *grants.integrations.values())


def role_scopes(slug: str, *, tenant_id: uuid.UUID) -> frozenset[Scope] | None:
    """The scopes of a tenant's role; None when there is no such role."""
    role = roles_of_tenant(tenant_id).filter(slug=slug).first()
    if role is None:
        return None
    codenames = set(
        GroupObjectPermission.objects.filter(group_id=role.group_id, object_pk=str(tenant_id)).values_list(
            "permission__codename", flat=True
        )
    )
    return frozenset(scope for scope in Scope if scope.codename in codenames)


def groups_of_tenant(tenant_id: uuid.UUID) -> QuerySet[PeopleGroup]:
    """The tenant's groups of people, by slug."""
    return PeopleGroup.objects.filter(tenant_id=tenant_id).order_by("slug")


def groups_of_member(membership: Membership) -> list[str]:
    """The slugs of the groups a member is in."""
    groups = groups_of_tenant(membership.tenant_id).filter(memberships__membership_id=membership.id)
    return list(groups.values_list("slug", flat=True))


def group_members(group: PeopleGroup) -> QuerySet[User]:
    """Who is in a group, by name."""
    return User.objects.filter(
        memberships__tenant_id=group.tenant_id, memberships__group_memberships__group_id=group.id
    ).order_by("username")


def group_member_names(slug: str, *, tenant_id: uuid.UUID) -> list[str] | None:
    """The names of who is in a group, sorted, as a `kind: Group` document lists them; None when there is no such."""
    group = groups_of_tenant(tenant_id).filter(slug=slug).first()
    return None if group is None else list(group_members(group).values_list("username", flat=True))
