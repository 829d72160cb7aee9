"""Synthetic people of rolled-back cases.

Their names end with characters by chance: an account or role that somebody prepared under the name would change what a
proof finds.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace

from policies.language.approvals import Leaf
from threada_site.identity.grants.role_grants import set_roles
from threada_site.identity.groups import define_group
from threada_site.identity.owners import set_owner
from threada_site.identity.principals import add_member, ensure_principal
from threada_site.identity.roles import define_role
from threada_site.identity.selectors import console_context, group_member_names, permissions_of_principal
from threada_site.kernel import clock, ids
from threada_site.kernel.context import (
    ActingContext,
    Authentication,
    AuthenticationMethod,
    EntryPoint,
    PrincipalKind,
    Scope,
)
from threada_site.kernel.factors import Factor
from threada_site.tenancy.models import User

_SCOPES = frozenset({Scope.WORKITEMS_READ, Scope.WORKITEMS_WRITE, Scope.ACTIONS_EXECUTE, Scope.DECISIONS_DECIDE})


@dataclass(frozen=True, slots=True)
class Cast:
    """Synthetic people of cases, made once in a transaction.

    `requester` may request and execute, and has nothing that the rule asks for. Each of `approvers` has all of it. The
    first of them owns `agent`, which has all of it too; None where nobody is asked.
    """

    requester: ActingContext
    approvers: tuple[ActingContext, ...] = ()
    agent: ActingContext | None = None

    @property
    def ids(self) -> frozenset[uuid.UUID]:
        """Ids of all of them."""
        people = (self.requester, *self.approvers, *([self.agent] if self.agent else []))
        return frozenset(person.principal_id for person in people)


def cast_for(leaves: tuple[Leaf, ...], approvers: int, *, ctx: ActingContext) -> Cast:
    """Create the people of cases whose rule asks for `leaves`."""
    requester = acting(_member("requester", PrincipalKind.HUMAN, (), ctx=ctx), ctx=ctx)
    if not approvers:
        return Cast(requester)
    people = [_member(f"approver-{number}", PrincipalKind.HUMAN, leaves, ctx=ctx) for number in range(approvers)]
    agent = _member("agent", PrincipalKind.AGENT, leaves, ctx=ctx)
    set_owner(agent, people[0].username, ctx=ctx)
    return Cast(requester, tuple(acting(person, ctx=ctx) for person in people), acting(agent, ctx=ctx))


def _member(purpose: str, kind: PrincipalKind, leaves: Iterable[Leaf], *, ctx: ActingContext) -> User:
    name = f"threada-proof-{purpose}-{secrets.token_hex(8)}"
    define_role(name, _SCOPES, ctx=ctx)
    made = ensure_principal(name, kind=kind, ctx=ctx)
    add_member(made, ctx=ctx)
    asked = list(leaves)
    set_roles(made, {name, *(leaf.name for leaf in asked if leaf.kind == "role")}, ctx=ctx)
    if kind is PrincipalKind.HUMAN:
        for group in sorted({leaf.name for leaf in asked if leaf.kind == "group"}):
            define_group(group, {*(group_member_names(group, tenant_id=ctx.tenant_id) or ()), name}, ctx=ctx)
    return made


def acting(principal: User, *, ctx: ActingContext) -> ActingContext:
    """Return the context of a synthetic principal: people in a fresh session with a passkey, agents with a token."""
    if principal.kind == PrincipalKind.HUMAN:
        now = clock.now()
        session = Authentication(
            method=AuthenticationMethod.SESSION, at=now, factors=(Factor.PASSWORD.value, Factor.PASSKEY.value)
        )
        found = console_context(principal, ctx.tenant_slug, ids.new_uuid().hex)
        return replace(found, authentication=session, reauthenticated_at=now)
    permissions = permissions_of_principal(principal.id, tenant_id=ctx.tenant_id)
    return replace(
        ctx,
        principal_id=principal.id,
        principal_kind=PrincipalKind(principal.kind),
        principal_name=principal.username,
        roles=permissions.roles,
        groups=permissions.groups,
        scopes=permissions.scopes,
        grants=permissions.grants,
        visibility=permissions.visibility,
        entry_point=EntryPoint.API,
        authentication=Authentication(method=AuthenticationMethod.ISSUED_TOKEN),
        correlation_id=ids.new_uuid().hex,
    )
