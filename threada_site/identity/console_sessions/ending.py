"""Ends of console sessions by their person, a steward or the operator."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import replace

from django.db.models import Q, QuerySet

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record, record_with_source
from threada_site.database.unit_of_work import require_unit_of_work, unit_of_work
from threada_site.identity.console_sessions.limits import open_sessions
from threada_site.identity.known_as import member_named
from threada_site.identity.selectors import belongs_elsewhere, tenants_of_person
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.kernel.source import Source
from threada_site.tenancy.models import ConsoleSession, IdentityLink, User


def end_own_sessions(session_ids: Collection[uuid.UUID], source: Source, *, ctx: ActingContext) -> int:
    """End these sessions of the acting person. Return their number. Receipt `session.ended` in each of its tenants.

    Opens its own units of work. Sessions of other people are ignored.
    """
    person = User.objects.get(pk=ctx.principal_id)
    with unit_of_work(ctx.tenant_id, actor=ctx):
        ended = _delete(person.console_sessions.filter(id__in=session_ids))
        if ended:
            record_with_source(_entry(person, ended), source, ctx=ctx)
    elsewhere = [tenant for tenant in tenants_of_person(person) if tenant.tenant_id != ctx.tenant_id]
    for tenant in elsewhere if ended else ():
        there = replace(ctx, tenant_id=tenant.tenant_id, tenant_slug=tenant.slug)
        with unit_of_work(there.tenant_id, actor=there):
            record_with_source(_entry(person, ended), source, ctx=there)
    return len(ended)


def end_sessions_of(person: User, *, ctx: ActingContext) -> int:
    """End all sessions of a person, as a steward or the operator. Return their number. Receipt `session.ended`.

    Raise `PermissionDenied`, and `Conflict` for stewards if the person belongs to another tenant too.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    if person.kind != PrincipalKind.HUMAN:
        raise errors.Conflict("Services and agents have no sessions. Revoke their credentials.")
    if member_named(person.public_id, tenant_id=ctx.tenant_id) is None:
        raise errors.Conflict(f"{person.username} has not accepted the invitation.")
    if not ctx.is_system and belongs_elsewhere(person, tenant_id=ctx.tenant_id):
        raise errors.Conflict(f"{person.username} belongs to another tenant too. Ask the instance's operator.")
    ended = _delete(person.console_sessions.all())
    if ended:
        record(_entry(person, ended), ctx=ctx)
    return len(ended)


def end_sessions_in(person: User, *, is_everywhere: bool, ctx: ActingContext) -> tuple[str, ...]:
    """End the sessions of a person that act in the tenant of `ctx`, or all. Return the public ids of those open.

    Sessions with a password in which no tenant was chosen count as acting here. The caller writes the receipt.
    """
    require_unit_of_work(ctx.tenant_id)
    return tuple(
        _delete(person.console_sessions.all() if is_everywhere else sessions_acting_in(person, tenant_id=ctx.tenant_id))
    )


def sessions_acting_in(person: User, *, tenant_id: uuid.UUID) -> QuerySet[ConsoleSession]:
    """Return the sessions of a person that act in a tenant, or that may because no tenant was chosen."""
    links = IdentityLink.objects.filter(tenant_id=tenant_id, user=person).values_list("id", flat=True)
    is_by_password = Q(identity_link_id=None)
    acts_here = Q(acting_tenant_id=tenant_id) | Q(acting_tenant_id=None)
    return person.console_sessions.filter(Q(identity_link_id__in=list(links)) | is_by_password & acts_here)


def _delete(rows: QuerySet[ConsoleSession]) -> list[str]:
    """Delete sessions. Return the public ids of those that were open."""
    is_open = set(open_sessions(clock.now()).filter(id__in=rows.values("id")).values_list("id", flat=True))
    rows.delete()
    return sorted(ids.public_id(ids.SESSION, one) for one in is_open)


def _entry(person: User, ended: list[str]) -> Entry:
    return Entry(
        kind="session.ended",
        inputs={"principal": person.public_id, "sessions": ended},
        outcome={"count": len(ended)},
    )
