"""Assignment of roles to members."""

from __future__ import annotations

from collections.abc import Collection

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.confirmation import require_second_steward
from threada_site.identity.grants.grant_records import end_grants, record_grants
from threada_site.identity.known_as import known_as
from threada_site.identity.personal_notices import notify_person
from threada_site.identity.providers.sources import check_not_from_provider
from threada_site.identity.roles import found_role
from threada_site.identity.selectors import roles_of_member, scopes_of_roles
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.authority_models import GrantKind
from threada_site.tenancy.models import Membership, User


def grant_role(principal: User, role: str, *, ctx: ActingContext) -> None:
    """Give a member of the tenant a role, as `set_roles` does."""
    set_roles(principal, {*roles_of_member(principal, tenant_id=ctx.tenant_id), role}, ctx=ctx)


def withdraw_role(principal: User, role: str, *, ctx: ActingContext) -> None:
    """Withdraw a role, as `set_roles` does. Raise `InvalidRequest` for an unknown role."""
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    found_role(role, ctx=ctx)
    set_roles(principal, {*roles_of_member(principal, tenant_id=ctx.tenant_id)} - {role}, ctx=ctx)


def set_roles(principal: User, roles: Collection[str], *, ctx: ActingContext) -> None:
    """Give a member of the tenant exactly these roles; its credentials gain and lose scopes immediately.

    Receipts `role.granted` and `role.withdrawn`; nothing happens if the member has these roles. Raise `InvalidRequest`
    for an unknown role or a principal that is not a member, `ConfirmationRequired` where a second steward must confirm
    it.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    require_roles(roles, ctx=ctx)
    if not Membership.objects.filter(tenant_id=ctx.tenant_id, user=principal).exists():
        if not roles:
            return
        raise errors.InvalidRequest(
            "The principal does not belong to this tenant. Add it first.",
            errors=[FieldError("/principal", "is not a member", "not_a_member")],
        )
    held, wanted = roles_of_member(principal, tenant_id=ctx.tenant_id), sorted(set(roles))
    if held == wanted:
        return
    check_not_from_provider(principal, set(held) ^ set(wanted), ctx=ctx)
    require_second_steward(
        "set_roles",
        f"Set the roles of {principal.username}",
        {"principal": known_as(principal, tenant_id=ctx.tenant_id), "roles": wanted},
        before={principal.username: scopes_of_roles(held, tenant_id=ctx.tenant_id)},
        after={principal.username: scopes_of_roles(wanted, tenant_id=ctx.tenant_id)},
        ctx=ctx,
    )
    write_role_grants(principal, granted=set(wanted) - set(held), withdrawn=set(held) - set(wanted), ctx=ctx)


def require_roles(roles: Collection[str], *, ctx: ActingContext) -> None:
    """Raise `InvalidRequest` for a role that the tenant does not have."""
    for role in sorted(roles):
        found_role(role, ctx=ctx)


def write_role_grants(
    principal: User, *, granted: Collection[str], withdrawn: Collection[str] = (), ctx: ActingContext
) -> None:
    """Give and withdraw roles with their receipts. The caller has checked permissions, membership and confirmation.

    Somebody who is only invited is not told: the address of an account elsewhere is not the tenant's.
    """
    named = known_as(principal, tenant_id=ctx.tenant_id) if granted or withdrawn else ""
    is_member = named == principal.public_id
    for slug in sorted(granted):
        principal.groups.add(found_role(slug, ctx=ctx).group)
        record_grants([principal.id], GrantKind.ROLE, slug, ctx=ctx)
        inputs = {"principal": named, "role": slug}
        record(Entry(kind="role.granted", inputs=inputs, accounts=(principal.id,)), ctx=ctx)
        if is_member and principal.kind == PrincipalKind.HUMAN and (principal.email or principal.has_usable_password()):
            notify_person(principal.id, "role_granted", slug, ctx=ctx)
    for slug in sorted(withdrawn):
        principal.groups.remove(found_role(slug, ctx=ctx).group)
        end_grants([principal.id], GrantKind.ROLE, slug, ctx=ctx)
        inputs = {"principal": named, "role": slug}
        record(Entry(kind="role.withdrawn", inputs=inputs, accounts=(principal.id,)), ctx=ctx)
