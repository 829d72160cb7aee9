"""Factories of tenants, principals, tokens and contexts. Each uses its own unit of work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from django.db import connection

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.credentials import issue_credential
from threada_site.identity.grants.role_grants import grant_role
from threada_site.identity.owners import set_owner
from threada_site.identity.principals import add_member, ensure_principal
from threada_site.identity.selectors import permissions_of_principal, principal_of_tenant, scopes_somewhere
from threada_site.identity.tenants import create_tenant, founding_context
from threada_site.kernel import clock, ids
from threada_site.kernel.context import (
    ActingContext,
    Authentication,
    AuthenticationMethod,
    EntryPoint,
    PrincipalKind,
    system_context,
)
from threada_site.tenancy.effective_permissions import effective_permissions
from threada_site.tenancy.models import Tenant, User

PASSWORD = "correct horse battery staple"


def make_tenant(slug: str = "acme", name: str = "") -> Tenant:
    """Create a tenant with the default roles."""
    ctx = founding_context(slug)
    with unit_of_work(ctx.tenant_id):
        return create_tenant(slug, name, ctx=ctx)


def make_principal(
    tenant: Tenant,
    name: str = "alice",
    kind: str | PrincipalKind = PrincipalKind.HUMAN,
    roles: Iterable[str] = ("client",),
    owner: str = "keeper",
) -> User:
    """Create a principal of `tenant` with `roles`; another call adds a membership in another tenant.

    `owner`: the person who owns an agent or a service, created without roles if missing. With "" it has none, so that
    nobody knows who controls it.
    """
    ctx = acting_system(tenant)
    is_owned = bool(owner) and PrincipalKind(kind) is not PrincipalKind.HUMAN
    with unit_of_work(tenant.id):
        if is_owned and principal_of_tenant(tenant.id, owner) is None:
            add_member(ensure_principal(owner, kind=PrincipalKind.HUMAN, ctx=ctx), ctx=ctx)
        principal = ensure_principal(name, kind=PrincipalKind(kind), ctx=ctx)
        add_member(principal, ctx=ctx)
        for role in roles:
            grant_role(principal, role, ctx=ctx)
        if is_owned:
            set_owner(principal, owner, ctx=ctx)
    return principal


def make_token(
    tenant: Tenant,
    principal: User,
    scopes: Iterable[str] | None = None,
    expires_in: timedelta | None = None,
) -> str:
    """Create a token of `principal` with these scopes, or with all scopes of its roles."""
    asked = scopes_somewhere(permissions_of_principal(principal.id, tenant_id=tenant.id)) if scopes is None else scopes
    with unit_of_work(tenant.id):
        return issue_credential(
            principal=principal, scopes=asked, label="test", expires_in=expires_in, ctx=acting_system(tenant)
        ).token


def acting(
    tenant: Tenant,
    principal: User,
    scopes: Iterable[str] | None = None,
    role: str | None = None,
    entry_point: EntryPoint = EntryPoint.API,
) -> ActingContext:
    """Return the context of a request of `principal` with all scopes of its roles, or some of them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM threada_grants(%s, %s)", [principal.id, tenant.id])
        permissions = effective_permissions(cursor.fetchall(), tenant_id=tenant.id, asked=scopes, role=role)
    return ActingContext(
        tenant_id=tenant.id,
        tenant_slug=tenant.slug,
        principal_id=principal.id,
        principal_kind=PrincipalKind(principal.kind),
        principal_name=principal.username,
        roles=permissions.roles,
        groups=permissions.groups,
        scopes=permissions.scopes,
        grants=permissions.grants,
        visibility=permissions.visibility,
        entry_point=entry_point,
        correlation_id=ids.new_uuid().hex,
    )


def stepped_up(ctx: ActingContext) -> ActingContext:
    """Return the context of a console session whose person has just proved who it is."""
    now = clock.now()
    signed_in = Authentication(method=AuthenticationMethod.SESSION, at=now, factors=("password",))
    return replace(ctx, entry_point=EntryPoint.CONSOLE, authentication=signed_in, reauthenticated_at=now)


def acting_system(tenant: Tenant, entry_point: EntryPoint = EntryPoint.JOB) -> ActingContext:
    """Return the system context in `tenant`."""
    return system_context(
        tenant_id=tenant.id, tenant_slug=tenant.slug, correlation_id=ids.new_uuid().hex, entry_point=entry_point
    )
