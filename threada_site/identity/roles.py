"""Definition and assignment of roles.

A role is a row, an auth group named `<tenant>:<role>`, and the group's object permissions on the tenant: its scopes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from guardian.models import GroupObjectPermission, UserObjectPermission

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.grant_records import end_grants, record_grants, record_role_scopes
from threada_site.identity.slugs import require_slug
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.authority_models import GrantKind
from threada_site.tenancy.models import Membership, Role, Tenant, TenantRow, User

_MOST_NAMED: Final = 10


def define_role(slug: str, scopes: frozenset[Scope], *, ctx: ActingContext) -> Role:
    """Create the role `slug` or set its scopes. Receipt `role.defined`."""
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    require_slug(slug, naming="role")
    (role,) = write_roles({slug: scopes}, ctx=ctx)
    record(Entry(kind="role.defined", inputs={"role": slug, "scopes": sorted(scopes)}), ctx=ctx)
    return role


def remove_role(slug: str, *, ctx: ActingContext) -> None:
    """Remove a role. Receipt `role.removed`. Raise `InUse` with the members that have it."""
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    role = _role(slug, ctx=ctx)
    holders = list(role.group.user_set.order_by("username").values_list("username", flat=True)[:_MOST_NAMED])
    if holders:
        raise errors.InUse(
            f"The role {slug} is held by {', '.join(holders)}. Withdraw it first.",
            errors=[FieldError("", f"{name} holds it", "in_use") for name in holders],
        )
    group = role.group
    role.delete()
    record_role_scopes({slug: frozenset()}, ctx=ctx)
    GroupObjectPermission.objects.filter(group=group).delete()
    group.delete()
    record(Entry(kind="role.removed", inputs={"role": slug}), ctx=ctx)


def grant_role(principal: User, role: str, *, ctx: ActingContext) -> None:
    """Give a member of the tenant a role. Receipt `role.granted`; nothing happens if the member has it.

    Raise `InvalidRequest` for an unknown role or a principal that is not a member.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    found = _role(role, ctx=ctx)
    if not Membership.objects.filter(tenant_id=ctx.tenant_id, user=principal).exists():
        raise errors.InvalidRequest(
            "The principal does not belong to this tenant. Add it first.",
            errors=[FieldError("/principal", "is not a member", "not_a_member")],
        )
    if principal.groups.filter(id=found.group_id).exists():
        return
    principal.groups.add(found.group)
    record_grants([principal.id], GrantKind.ROLE, role, ctx=ctx)
    record(Entry(kind="role.granted", inputs={"principal": principal.public_id, "role": role}), ctx=ctx)


def withdraw_role(principal: User, role: str, *, ctx: ActingContext) -> None:
    """Withdraw a role; credentials lose its scopes immediately. Receipt `role.withdrawn`, if it was granted."""
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    found = _role(role, ctx=ctx)
    if not principal.groups.filter(id=found.group_id).exists():
        return
    principal.groups.remove(found.group)
    end_grants([principal.id], GrantKind.ROLE, role, ctx=ctx)
    record(Entry(kind="role.withdrawn", inputs={"principal": principal.public_id, "role": role}), ctx=ctx)


def grant_scope_on(principal: User, scope: Scope, target: TenantRow, *, ctx: ActingContext) -> None:
    """Give one principal one scope on one workflow or integration. Receipt `scope.granted`, if it is new.

    Raise `InvalidRequest` if the scope does not apply to such an object, `NotFound` for another tenant's object.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    if target.tenant_id != ctx.tenant_id:
        raise errors.NotFound
    content_type = ContentType.objects.get_for_model(target)
    permission = Permission.objects.filter(content_type=content_type, codename=scope.codename).first()
    if permission is None:
        raise errors.InvalidRequest(
            f"{scope.value} is not held on a single {content_type.model}.",
            errors=[FieldError("/scope", "does not apply here", "scope_not_applicable")],
        )
    granted = UserObjectPermission.objects.filter(user=principal, permission=permission, object_pk=str(target.pk))
    if granted.exists():
        return
    UserObjectPermission.objects.bulk_create(
        [
            UserObjectPermission(
                user=principal, permission=permission, content_type=content_type, object_pk=str(target.pk)
            )
        ]
    )
    record_grants([principal.id], GrantKind.SCOPE, f"{scope.value}@{target.pk}", ctx=ctx)
    on = {"kind": content_type.model, "id": str(target)}
    record(
        Entry(kind="scope.granted", inputs={"principal": principal.public_id, "scope": scope.value, "on": on}), ctx=ctx
    )


def withdraw_scopes_on_objects(principal: User, *, ctx: ActingContext) -> None:
    """Withdraw all scopes of `principal` on single objects of the tenant. The caller writes the receipt."""
    granted = UserObjectPermission.objects.filter(user=principal)
    for content_type in ContentType.objects.filter(id__in=granted.values("content_type_id")):
        model = content_type.model_class()
        if model is None or not issubclass(model, TenantRow):
            continue
        keys = granted.filter(content_type=content_type).values_list("object_pk", flat=True)
        here = model._default_manager.filter(tenant_id=ctx.tenant_id, id__in=list(keys)).values_list("id", flat=True)
        granted.filter(content_type=content_type, object_pk__in=[str(key) for key in here]).delete()


def write_roles(scopes_by_role: Mapping[str, frozenset[Scope]], *, ctx: ActingContext) -> list[Role]:
    """Create missing roles and set the scopes of all. The caller writes the receipt."""
    names = {slug: f"{ctx.tenant_slug}:{slug}" for slug in scopes_by_role}
    Group.objects.bulk_create([Group(name=name) for name in names.values()], ignore_conflicts=True)
    groups = {group.name: group for group in Group.objects.filter(name__in=names.values())}
    Role.objects.bulk_create(
        [Role(tenant_id=ctx.tenant_id, slug=slug, group=groups[name]) for slug, name in names.items()],
        ignore_conflicts=True,
    )
    content_type = ContentType.objects.get_for_model(Tenant)
    permissions = {
        permission.codename: permission for permission in Permission.objects.filter(content_type=content_type)
    }
    grants = GroupObjectPermission.objects.filter(content_type=content_type, object_pk=str(ctx.tenant_id))
    grants.filter(group__in=groups.values()).delete()
    GroupObjectPermission.objects.bulk_create(
        [
            GroupObjectPermission(
                group=groups[names[slug]],
                permission=permissions[scope.codename],
                content_type=content_type,
                object_pk=str(ctx.tenant_id),
            )
            for slug, scopes in scopes_by_role.items()
            for scope in sorted(scopes)
        ]
    )
    record_role_scopes(scopes_by_role, ctx=ctx)
    return list(Role.objects.filter(tenant_id=ctx.tenant_id, slug__in=names).order_by("slug"))


def _role(slug: str, *, ctx: ActingContext) -> Role:
    role = Role.objects.select_related("group").filter(tenant_id=ctx.tenant_id, slug=slug).first()
    if role is None:
        known = ", ".join(Role.objects.filter(tenant_id=ctx.tenant_id).order_by("slug").values_list("slug", flat=True))
        raise errors.InvalidRequest(
            f"There is no role {slug[:63]!r} in this tenant. Roles: {known}.",
            errors=[FieldError("/role", "is not known", "unknown_role")],
        )
    return role
