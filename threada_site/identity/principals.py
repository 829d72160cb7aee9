"""Principals and their memberships."""

from __future__ import annotations

from collections.abc import Collection
from zoneinfo import available_timezones

from django.conf import settings
from django.contrib.auth.hashers import make_password

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.account_links import withdraw_links
from threada_site.identity.confirmation import require_second_steward
from threada_site.identity.departure.end import end_membership
from threada_site.identity.departure.leave import require_another_steward
from threada_site.identity.departure.outcome import Departure, DepartureReason
from threada_site.identity.dependence import record_addition, record_dependence
from threada_site.identity.grants.grant_records import record_grants
from threada_site.identity.invitations import invite
from threada_site.identity.known_as import known_as
from threada_site.identity.selectors import (
    groups_of_member,
    principal_of_tenant,
    roles_of_member,
    scopes_of_roles,
)
from threada_site.identity.slugs import require_slug
from threada_site.identity.stewardship import require_steward, require_steward_or_self
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.account_link_models import LinkPurpose
from threada_site.tenancy.authority_models import DependenceReason, GrantKind
from threada_site.tenancy.models import Membership, User


def ensure_principal(
    name: str, *, kind: PrincipalKind, display_name: str = "", email: str = "", ctx: ActingContext
) -> User:
    """Return the person `name` of the instance, or the service or agent `name` of the tenant; create it if missing.

    Adds no membership. Receipt and dependence (`created`) if it is new in this tenant, so that neither tells whether
    another tenant has the person; those of somebody who is invited follow with the invitation, which they name. Raise
    `InvalidRequest` for an invalid slug, `Conflict` if a principal of another kind has the name in this tenant.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    require_slug(name, naming="principal")
    member = principal_of_tenant(ctx.tenant_id, name)
    if member is not None and member.kind != kind:
        raise errors.Conflict(f"The account {name!r} is of kind {member.kind}, not {kind.value}.")
    principal, is_new = User.objects.get_or_create(
        username=name,
        home_tenant_id=None if kind is PrincipalKind.HUMAN else ctx.tenant_id,
        defaults={
            "kind": kind.value,
            "display_name": display_name,
            "email": email,
            "password": make_password(None),
        },
    )
    if principal.kind != kind:
        raise errors.Conflict(f"The account {name!r} is of kind {principal.kind}, not {kind.value}.")
    is_new_here = is_new or (kind is PrincipalKind.HUMAN and member is None)
    if is_new_here and (ctx.is_system or kind is not PrincipalKind.HUMAN):
        record(Entry(kind="principal.created", inputs={"principal": principal.public_id, "kind": kind.value}), ctx=ctx)
    return principal


def add_member(principal: User, *, address: str = "", ctx: ActingContext) -> Membership:
    """Add `principal` to the tenant. Receipt `member.added`, if it was not a member.

    A person whom the operator does not add is invited (`address`: where the invitation is mailed), and the account
    depends on the steward. The operator's call accepts an open invitation. Raise `InvalidRequest` for a missing or
    invalid address, `ConfirmationRequired` where a second steward must confirm it.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    if principal.home_tenant_id not in (None, ctx.tenant_id):
        raise errors.NotFound("There is no such account in this tenant.")
    found = Membership.objects.filter(tenant_id=ctx.tenant_id, user=principal).first()
    if found is not None:
        if ctx.is_system and found.accepted_at is None:
            withdraw_links(principal, LinkPurpose.INVITATION, ctx=ctx)
            found.accepted_at = clock.now()
            found.save(update_fields=["accepted_at"])
        return found
    propose_principal(
        principal.username,
        PrincipalKind(principal.kind),
        display_name=principal.display_name,
        email=address,
        ctx=ctx,
    )
    return write_membership(principal, address=address, ctx=ctx)


def propose_principal(
    name: str,
    kind: PrincipalKind,
    *,
    display_name: str = "",
    email: str = "",
    roles: Collection[str] = (),
    owner: str = "",
    ctx: ActingContext,
) -> None:
    """Raise `ConfirmationRequired` if a second steward must confirm that this principal becomes a member."""
    granted = scopes_of_roles(roles, tenant_id=ctx.tenant_id)
    person = {"display_name": display_name, "email": email}
    require_second_steward(
        "add_principal",
        f"Add the {'person' if kind is PrincipalKind.HUMAN else kind.value} {name}",
        {"name": name, "kind": kind.value, **person, "roles": sorted(granted), "owner": owner},
        before=None,
        after={name: {"kind": kind.value, **person, "roles": granted, "owner": owner or None}},
        ctx=ctx,
    )


def write_membership(principal: User, *, address: str = "", ctx: ActingContext) -> Membership:
    """Create a membership with its receipt, and invite a person whom the operator does not add.

    The caller has checked permissions and confirmation.
    """
    is_invited = not ctx.is_system and principal.kind == PrincipalKind.HUMAN
    membership, is_new = Membership.objects.get_or_create(
        tenant_id=ctx.tenant_id,
        user=principal,
        defaults={
            "added_by": None if ctx.is_system else ctx.principal_id,
            "accepted_at": None if is_invited else clock.now(),
        },
    )
    if is_new:
        if is_invited:
            invite(principal, address, ctx=ctx)
        named = {"principal": known_as(principal, tenant_id=ctx.tenant_id)}
        if is_invited:
            created = {**named, "kind": principal.kind}
            record(Entry(kind="principal.created", inputs=created, accounts=(principal.id,)), ctx=ctx)
            if ctx.change_set_id is None:
                record_dependence(principal, DependenceReason.CREATED, ctx=ctx)
        record_grants([principal.id], GrantKind.MEMBER, ctx=ctx)
        record(Entry(kind="member.added", inputs=named, accounts=(principal.id,)), ctx=ctx)
        if is_invited:
            record_addition(principal, ctx=ctx)
    return membership


def remove_member(principal: User, *, ctx: ActingContext) -> Departure | None:
    """Remove a membership as `departure.end.end_membership` does. Return None if there is none.

    Raise `ConfirmationRequired` where a second steward must confirm it, `LastSteward` to a person for the only one,
    also if two stewards remove each other at once.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    membership = Membership.objects.filter(tenant_id=ctx.tenant_id, user=principal).first()
    if membership is None:
        return None
    if ctx.is_person:
        require_another_steward(principal, ctx=ctx)
    roles = scopes_of_roles(roles_of_member(principal, tenant_id=ctx.tenant_id), tenant_id=ctx.tenant_id)
    require_second_steward(
        "remove_member",
        f"Remove the member {principal.username}",
        {"principal": known_as(principal, tenant_id=ctx.tenant_id)},
        before={principal.username: {"roles": roles, "groups": groups_of_member(membership)}},
        after=None,
        ctx=ctx,
    )
    return end_membership(principal, reason=DepartureReason.REMOVED, ctx=ctx)


def set_time_zone(principal: User, name: str, *, ctx: ActingContext) -> None:
    """Set the time zone of a person (IANA name; empty: the browser's). Receipt `principal.time_zone_set`.

    Raise `InvalidRequest` for an unknown time zone.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward_or_self(ctx, principal.id)
    if name and name not in available_timezones():
        raise errors.InvalidRequest(
            "There is no such time zone. Name one like Europe/Berlin.", errors=[FieldError("/time_zone", "is unknown")]
        )
    if principal.time_zone == name:
        return
    principal.time_zone = name
    principal.save(update_fields=["time_zone"])
    record(Entry(kind="principal.time_zone_set", inputs={"principal": principal.public_id}), ctx=ctx)


def set_language(principal: User, code: str, *, ctx: ActingContext) -> None:
    """Set the language of a person (empty: the browser's). Receipt `principal.language_set`.

    Raise `InvalidRequest` for a language without translation.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward_or_self(ctx, principal.id)
    if code and code not in dict(settings.LANGUAGES):
        known = ", ".join(sorted(dict(settings.LANGUAGES)))
        raise errors.InvalidRequest(
            f"There is no translation into this language. Choose one of {known}.",
            errors=[FieldError("/language", "is unknown")],
        )
    if principal.language == code:
        return
    principal.language = code
    principal.save(update_fields=["language"])
    record(Entry(kind="principal.language_set", inputs={"principal": principal.public_id}), ctx=ctx)
