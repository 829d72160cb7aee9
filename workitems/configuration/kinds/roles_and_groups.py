"""`kind: Role` and `kind: Group`."""

from __future__ import annotations

from collections.abc import Iterator

from policies.services.removing import check_nobody_asks
from threada_site.identity.default_roles import DEFAULT_ROLES
from threada_site.identity.selectors import group_member_names, groups_of_tenant, role_scopes, roles_of_tenant
from threada_site.identity.services import define_group, define_role, remove_group, remove_role
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import DocumentInvalid, FieldError, InvalidRequest
from threada_site.tenancy.upsert import Change
from workitems.configuration.kinds.base import (
    Applied,
    Kind,
    Stored,
    Written,
    check_fields,
    diff,
    name_of,
    slug_of,
    spec_of,
    whole,
)


def _apply_role(value: Written, ctx: ActingContext) -> Applied:
    slug = slug_of(value)
    spec = spec_of(value)
    named = spec.get("scopes")
    known = {scope.value for scope in Scope}
    if not isinstance(named, list) or not all(isinstance(name, str) and name in known for name in named):
        raise DocumentInvalid(errors=[FieldError("/spec/scopes", f"List scopes out of {', '.join(sorted(known))}.")])
    before = role_scopes(slug, tenant_id=ctx.tenant_id)
    wanted = frozenset(Scope(name) for name in named)
    if before == wanted:
        return Applied("Role", slug, Change.UNCHANGED)
    define_role(slug, wanted, ctx=ctx)
    change = Change.CREATED if before is None else Change.CHANGED
    return Applied("Role", slug, change, diff(_names(before), _names(wanted)))


def _names(scopes: frozenset[Scope] | None) -> list[str] | None:
    return None if scopes is None else sorted(scope.value for scope in scopes)


def _roles(ctx: ActingContext) -> Iterator[Stored]:
    """Roles that every tenant starts with are told only where they were changed: nobody has to write them down."""
    for role in roles_of_tenant(ctx.tenant_id):
        scopes = role_scopes(role.slug, tenant_id=ctx.tenant_id)
        if scopes != DEFAULT_ROLES.get(role.slug):
            yield Stored(role.slug, whole("Role", role.slug, {"scopes": _names(scopes)}))


def _remove_role(name: str, ctx: ActingContext) -> None:
    """A role that every tenant starts with gets its own scopes back instead."""
    if name in DEFAULT_ROLES:
        define_role(name, DEFAULT_ROLES[name], ctx=ctx)
        return
    check_nobody_asks("role", name, ctx=ctx)
    remove_role(name, ctx=ctx)


def _apply_group(value: Written, ctx: ActingContext) -> Applied:
    slug = slug_of(value)
    spec = spec_of(value)
    check_fields(value, spec, in_spec=("members",))
    named, name = spec.get("members"), name_of(value)
    if not isinstance(named, list) or not all(isinstance(member, str) for member in named):
        raise DocumentInvalid(errors=[FieldError("/spec/members", "List the names of principals; [] for nobody.")])
    before = group_member_names(slug, tenant_id=ctx.tenant_id)
    try:
        result = define_group(slug, named, name=name, ctx=ctx)
    except InvalidRequest as error:
        at_spec = [FieldError(f"/spec{entry.pointer}", entry.detail, entry.code) for entry in error.errors]
        raise DocumentInvalid(error.detail, errors=at_spec) from None
    return Applied("Group", slug, result.change, diff(before, sorted(set(named))))


def _groups(ctx: ActingContext) -> Iterator[Stored]:
    for group in groups_of_tenant(ctx.tenant_id):
        members = group_member_names(group.slug, tenant_id=ctx.tenant_id)
        yield Stored(group.slug, whole("Group", group.slug, {"members": members}, name=group.name))


def _remove_group(name: str, ctx: ActingContext) -> None:
    check_nobody_asks("group", name, ctx=ctx)
    remove_group(name, ctx=ctx)


ROLE = Kind(_apply_role, _roles, _remove_role)
GROUP = Kind(_apply_group, _groups, _remove_group)
