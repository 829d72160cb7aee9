"""Definition of roles.

A role is a row, an auth group named `<tenant>:<role>`, and the group's object permissions on the tenant: its scopes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import EllipsisType
from typing import Any, Final

from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from guardian.models import GroupObjectPermission

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.confirmation import require_second_steward
from threada_site.identity.default_roles import default_visibility
from threada_site.identity.grants.grant_records import record_role_scopes
from threada_site.identity.selectors import role_require_mfa, role_scopes, role_visibility, scopes_of_roles
from threada_site.identity.slugs import require_slug
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope, Visibility
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.models import Role, Tenant, User

_SETTING_KINDS: Final = {"visibility": "role.visibility_set", "require_mfa": "role.require_mfa_set"}
_MOST_NAMED: Final = 10
_MOST_SHOWN: Final = 100
_ON_CASES: Final = frozenset(
    {
        Scope.WORKITEMS_READ,
        Scope.WORKITEMS_WRITE,
        Scope.WORKITEMS_ON_BEHALF,
        Scope.ACTIONS_EXECUTE,
        Scope.DECISIONS_DECIDE,
    }
)
"""Scopes that a role with visibility `own` may have. The others read or change the whole tenant."""


def lock_role(slug: str, *, ctx: ActingContext) -> None:
    """Let no other transaction define or remove the role, which need not exist, until this one ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('role ' || %s || ' ' || %s, 0))", [str(ctx.tenant_id), slug]
        )


def define_role(
    slug: str,
    scopes: frozenset[Scope],
    *,
    visibility: Visibility | None = None,
    require_mfa: bool | EllipsisType | None = ...,
    ctx: ActingContext,
) -> Role:
    """Create the role `slug` or set its scopes, and its visibility and second factor if these are given, as one change.

    Receipts `role.defined`, `role.visibility_set` and `role.require_mfa_set`, unless nothing changes. Raise
    `InvalidRequest` if the visibility does not allow the scopes, `ConfirmationRequired` where a second steward must
    confirm it.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    require_slug(slug, naming="role")
    lock_role(slug, ctx=ctx)
    before, wanted = role_scopes(slug, tenant_id=ctx.tenant_id), sorted(scope.value for scope in scopes)
    seen = role_visibility(slug, tenant_id=ctx.tenant_id) or default_visibility(slug)
    sees = visibility or seen
    required = role_require_mfa(slug, tenant_id=ctx.tenant_id)
    was: dict[str, Any] = {} if sees is seen else {"visibility": seen.value}
    becomes: dict[str, Any] = {} if sees is seen else {"visibility": sees.value}
    if require_mfa is not ... and require_mfa != required:
        was["require_mfa"], becomes["require_mfa"] = required, require_mfa
    if before == scopes and not becomes:
        return found_role(slug, ctx=ctx)
    if sees is Visibility.OWN:
        _check_scopes_on_own_cases(slug, scopes)
    holders = _holders(slug, ctx=ctx)
    require_second_steward(
        "define_role",
        f"Set the scopes of the role {slug}",
        {"role": slug, "scopes": wanted, **becomes},
        before=None if before is None else {slug: sorted(scope.value for scope in before), **was, **holders},
        after={slug: wanted, **becomes, **holders},
        ctx=ctx,
    )
    if before != scopes:
        write_roles({slug: scopes}, ctx=ctx)
        record(Entry(kind="role.defined", inputs={"role": slug, "scopes": wanted}), ctx=ctx)
    if becomes:
        Role.objects.filter(tenant_id=ctx.tenant_id, slug=slug).update(**becomes)
    for name, value in becomes.items():
        record(Entry(kind=_SETTING_KINDS[name], inputs={"role": slug, name: value}), ctx=ctx)
    return found_role(slug, ctx=ctx)


def set_role_visibility(slug: str, visibility: Visibility, *, ctx: ActingContext) -> None:
    """Set the visibility of a role. Receipt `role.visibility_set`, unless nothing changes.

    Raise `InvalidRequest` for an unknown role, or one whose scopes concern the whole tenant; `ConfirmationRequired`
    where a second steward must confirm the change.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    lock_role(slug, ctx=ctx)
    role = found_role(slug, ctx=ctx)
    if role.visibility == visibility:
        return
    if visibility is Visibility.OWN:
        _check_scopes_on_own_cases(slug, role_scopes(slug, tenant_id=ctx.tenant_id) or frozenset())
    require_second_steward(
        "set_role_visibility",
        f"Set the visibility of the role {slug}",
        {"role": slug, "visibility": visibility.value},
        before={slug: role.visibility},
        after={slug: visibility.value},
        ctx=ctx,
    )
    Role.objects.filter(id=role.id).update(visibility=visibility)
    record(Entry(kind="role.visibility_set", inputs={"role": slug, "visibility": visibility.value}), ctx=ctx)


def set_role_require_mfa(slug: str, required: bool | None, *, ctx: ActingContext) -> None:  # noqa: FBT001 - the value
    """Require a second factor of people with a role; None: if the role can decide. Receipt `role.require_mfa_set`.

    Nothing happens if it does not change. Raise `InvalidRequest` for an unknown role, `ConfirmationRequired` where a
    second steward must confirm the change.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    lock_role(slug, ctx=ctx)
    role = found_role(slug, ctx=ctx)
    if role.require_mfa == required:
        return
    require_second_steward(
        "set_role_require_mfa",
        f"Set the second factor of the role {slug}",
        {"role": slug, "require_mfa": required},
        before={slug: {"require_mfa": role.require_mfa}},
        after={slug: {"require_mfa": required}},
        ctx=ctx,
    )
    Role.objects.filter(id=role.id).update(require_mfa=required)
    record(Entry(kind="role.require_mfa_set", inputs={"role": slug, "require_mfa": required}), ctx=ctx)


def remove_role(slug: str, *, ctx: ActingContext) -> None:
    """Remove a role. Receipt `role.removed`. Raise `InUse` with the members that have it, `ConfirmationRequired`."""
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    lock_role(slug, ctx=ctx)
    role = found_role(slug, ctx=ctx)
    holders = list(role.group.user_set.order_by("username").values_list("username", flat=True)[:_MOST_NAMED])
    if holders:
        raise errors.InUse(
            f"The role {slug} is held by {', '.join(holders)}. Withdraw it first.",
            errors=[FieldError("", f"{name} holds it", "in_use") for name in holders],
        )
    before = scopes_of_roles([slug], tenant_id=ctx.tenant_id)
    require_second_steward("remove_role", f"Remove the role {slug}", {"role": slug}, before=before, after=None, ctx=ctx)
    group = role.group
    role.delete()
    record_role_scopes({slug: frozenset()}, ctx=ctx)
    GroupObjectPermission.objects.filter(group=group).delete()
    group.delete()
    record(Entry(kind="role.removed", inputs={"role": slug}), ctx=ctx)


def write_roles(scopes_by_role: Mapping[str, frozenset[Scope]], *, ctx: ActingContext) -> list[Role]:
    """Create missing roles and set the scopes of all. The caller writes the receipt."""
    names = {slug: f"{ctx.tenant_slug}:{slug}" for slug in scopes_by_role}
    Group.objects.bulk_create([Group(name=name) for name in names.values()], ignore_conflicts=True)
    groups = {group.name: group for group in Group.objects.filter(name__in=names.values())}
    Role.objects.bulk_create(
        [
            Role(
                tenant_id=ctx.tenant_id,
                slug=slug,
                group=groups[name],
                visibility=default_visibility(slug),
            )
            for slug, name in names.items()
        ],
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


def _holders(slug: str, *, ctx: ActingContext) -> dict[str, Any]:
    """Return who holds a role, as a change set shows it: the number, and the first names. Empty if nobody does."""
    found = User.objects.filter(groups__role__tenant_id=ctx.tenant_id, groups__role__slug=slug).order_by("username")
    names = list(found.values_list("username", flat=True))
    return {"held by": {"principals": len(names), "first": names[:_MOST_SHOWN]}} if names else {}


def _check_scopes_on_own_cases(slug: str, scopes: frozenset[Scope]) -> None:
    """Raise `InvalidRequest` if one of `scopes` concerns more than the cases of a role with visibility `own`."""
    wider = sorted(scope.value for scope in scopes - _ON_CASES)
    if wider:
        raise errors.InvalidRequest(
            f"The role {slug} has the visibility own, but {', '.join(wider)} concerns the whole tenant. "
            "Remove the scope, or give the role the visibility tenant.",
            errors=[FieldError("/visibility", "does not allow the scopes of the role", "invalid")],
        )


def found_role(slug: str, *, ctx: ActingContext) -> Role:
    """Return a role of the tenant. Raise `InvalidRequest` if there is none."""
    role = Role.objects.select_related("group").filter(tenant_id=ctx.tenant_id, slug=slug).first()
    if role is None:
        known = ", ".join(Role.objects.filter(tenant_id=ctx.tenant_id).order_by("slug").values_list("slug", flat=True))
        raise errors.InvalidRequest(
            f"There is no role {slug[:63]!r} in this tenant. Roles: {known}.",
            errors=[FieldError("/role", "is not known", "unknown_role")],
        )
    return role
