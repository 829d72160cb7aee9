"""Admission of a principal to a tenant: account, membership, roles and owner as one change."""

from __future__ import annotations

from collections.abc import Collection

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.grants.role_grants import require_roles, set_roles, write_role_grants
from threada_site.identity.owners import owner_named, set_owner, write_owner
from threada_site.identity.principals import ensure_principal, propose_principal, write_membership
from threada_site.identity.selectors import roles_of_member
from threada_site.identity.stewardship import require_steward
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.tenancy.models import Membership, User
from threada_site.tenancy.upsert import Change, UpsertResult


def add_principal(
    name: str,
    *,
    kind: PrincipalKind,
    display_name: str = "",
    email: str = "",
    roles: Collection[str] = (),
    owner: str = "",
    ctx: ActingContext,
) -> UpsertResult[User]:
    """Create a principal if the name is free, and make it a member with these roles and this owner.

    A member keeps its other roles; the result is then `CHANGED`. Receipts as of the single changes.

    Raise `InvalidRequest` for an unknown role or owner, `Conflict` for a name that is taken, `ConfirmationRequired`
    where a second steward must confirm it.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    require_roles(roles, ctx=ctx)
    person = owner_named(owner, of=kind, ctx=ctx)
    principal = ensure_principal(name, kind=kind, display_name=display_name, email=email, ctx=ctx)
    if Membership.objects.filter(tenant_id=ctx.tenant_id, user=principal).exists():
        set_roles(principal, {*roles_of_member(principal, tenant_id=ctx.tenant_id), *roles}, ctx=ctx)
        if owner:
            set_owner(principal, owner, ctx=ctx)
        return UpsertResult(principal, Change.CHANGED)
    propose_principal(name, kind, display_name=display_name, email=email, roles=roles, owner=owner, ctx=ctx)
    membership = write_membership(principal, address=email, ctx=ctx)
    write_role_grants(principal, granted=roles, ctx=ctx)
    if person is not None:
        write_owner(membership, person, ctx=ctx)
    return UpsertResult(principal, Change.CREATED)
