"""`kind: Role` and `kind: Group` documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from policies.configuration.removal import check_nobody_asks
from threada_site.identity.default_roles import DEFAULT_ROLES, default_visibility
from threada_site.identity.groups import define_group, remove_group
from threada_site.identity.roles import define_role, remove_role
from threada_site.identity.selectors import (
    group_member_names,
    groups_of_tenant,
    role_require_mfa,
    role_scopes,
    role_visibility,
    roles_of_tenant,
)
from threada_site.kernel.context import ActingContext, Scope, Visibility
from threada_site.kernel.documents.kind_schema import KindSchema
from threada_site.kernel.documents.structure import closed_object
from threada_site.kernel.errors import DocumentInvalid, FieldError, InvalidRequest
from threada_site.tenancy.upsert import Change
from workitems.configuration.kinds.base import Applied, Kind, Stored, Written, diff, whole

ROLE_SCHEMA: Final = KindSchema(
    "Role",
    closed_object(
        {
            "scopes": {
                "type": "array",
                "items": {"enum": sorted(scope.value for scope in Scope), "title": "scope"},
                "description": "Scopes that members of the role have.",
                "examples": [["workitems:read"]],
            },
            "visibility": {
                "enum": [visibility.value for visibility in Visibility],
                "description": "Work items that members see: all of the tenant, or their own and those that name them. "
                "Default: tenant; for the roles requester and client: own.",
                "errorMessage": "visibility is tenant or own.",
            },
            "require_mfa": {
                "type": "boolean",
                "description": "Require a second factor of people with the role, where the tenant requires any. "
                "Default: if the role can decide.",
                "errorMessage": "require_mfa is true or false.",
            },
        },
        required=("scopes",),
        description="A set of scopes.",
    ),
)
GROUP_SCHEMA: Final = KindSchema(
    "Group",
    closed_object(
        {
            "members": {
                "type": "array",
                "items": {"type": "string", "errorMessage": "Name a principal as text."},
                "description": "Names of principals.",
                "examples": [["ann", "bob"]],
                "errorMessage": "List the names of principals; [] for nobody.",
            }
        },
        required=("members",),
        description="A group of people, who can approve together.",
    ),
    header={
        "name": {"type": ["string", "null"], "description": "Label of the group.", "errorMessage": "name is text."}
    },
)


def _apply_role(value: Written, ctx: ActingContext) -> Applied:
    document = ROLE_SCHEMA.parse(value)
    document.errors.raise_any(value=value)
    slug = str(document.id)
    before = role_scopes(slug, tenant_id=ctx.tenant_id)
    wanted = frozenset(Scope(name) for name in document.spec["scopes"])
    sees = Visibility(document.spec.get("visibility", default_visibility(slug)))
    require_mfa = document.spec.get("require_mfa")
    held = role_require_mfa(slug, tenant_id=ctx.tenant_id)
    old = _spec(slug, before, role_visibility(slug, tenant_id=ctx.tenant_id), require_mfa=held)
    new = _spec(slug, wanted, sees, require_mfa=require_mfa)
    if old == new:
        return Applied("Role", slug, Change.UNCHANGED)
    define_role(slug, wanted, visibility=sees, require_mfa=require_mfa, ctx=ctx)
    change = Change.CREATED if before is None else Change.CHANGED
    return Applied("Role", slug, change, diff(old, new))


def _spec(
    slug: str, scopes: frozenset[Scope] | None, sees: Visibility | None, *, require_mfa: bool | None = None
) -> dict[str, Any] | None:
    """Return the spec of a role without defaults; None for a role that does not exist."""
    if scopes is None:
        return None
    names = sorted(scope.value for scope in scopes)
    return {
        "scopes": names,
        **({"visibility": sees.value} if sees and sees is not default_visibility(slug) else {}),
        **({} if require_mfa is None else {"require_mfa": require_mfa}),
    }


def _roles(ctx: ActingContext) -> Iterator[Stored]:
    """Yield the roles of the tenant, without default roles that were not changed."""
    for role in roles_of_tenant(ctx.tenant_id):
        scopes = role_scopes(role.slug, tenant_id=ctx.tenant_id)
        spec = _spec(role.slug, scopes, Visibility(role.visibility), require_mfa=role.require_mfa)
        if spec != _spec(role.slug, DEFAULT_ROLES.get(role.slug), default_visibility(role.slug)):
            yield Stored(role.slug, whole("Role", role.slug, spec))


def _remove_role(name: str, ctx: ActingContext) -> None:
    """Remove a role; reset a default role to its default scopes instead."""
    if name in DEFAULT_ROLES:
        define_role(name, DEFAULT_ROLES[name], visibility=default_visibility(name), require_mfa=None, ctx=ctx)
        return
    check_nobody_asks("role", name, ctx=ctx)
    remove_role(name, ctx=ctx)


def _apply_group(value: Written, ctx: ActingContext) -> Applied:
    document = GROUP_SCHEMA.parse(value)
    document.errors.raise_any(value=value)
    slug, named, name = str(document.id), document.spec["members"], value.get("name")
    before = group_member_names(slug, tenant_id=ctx.tenant_id)
    try:
        result = define_group(slug, named, name=name, ctx=ctx)
    except InvalidRequest as error:
        at_spec = [FieldError(f"/spec{entry.pointer}", entry.detail, entry.code) for entry in error.errors]
        raise DocumentInvalid(error.detail, errors=at_spec) from None
    return Applied("Group", slug, result.change, diff(before, sorted(set(named))))


def _groups(ctx: ActingContext) -> Iterator[Stored]:
    """Yield the groups of the tenant that people made."""
    for group in groups_of_tenant(ctx.tenant_id).filter(source=""):
        members = group_member_names(group.slug, tenant_id=ctx.tenant_id)
        yield Stored(group.slug, whole("Group", group.slug, {"members": members}, name=group.name))


def _remove_group(name: str, ctx: ActingContext) -> None:
    check_nobody_asks("group", name, ctx=ctx)
    remove_group(name, ctx=ctx)


ROLE = Kind(lambda: ROLE_SCHEMA.schema, _apply_role, _roles, _remove_role)
GROUP = Kind(lambda: GROUP_SCHEMA.schema, _apply_group, _groups, _remove_group)
