"""Who could decide a step: members of the tenant as approval rules see them."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime

from threada_site.kernel.context import ActingContext
from threada_site.tenancy.people import Member, members
from workitems.models import DecisionStep, Delegation
from workitems.tally import Person


def people_for(
    step: DecisionStep, *, workflow_id: uuid.UUID, among: Collection[uuid.UUID] | None = None
) -> list[Person]:
    """All people of the tenant (or those of `among`) with roles and with their scopes on the step's workflow."""
    return [
        person_of(member, workflow_id=workflow_id) for member in members(step.tenant_id, among=among, humans_only=True)
    ]


def person_of(member: Member, *, workflow_id: uuid.UUID) -> Person:
    return Person(
        id=member.id,
        kind=member.kind,
        name=member.username,
        roles=member.rights.roles,
        groups=member.rights.groups,
        scopes=frozenset(scope.value for scope in member.scopes_on(workflow_id)),
    )


def stands_for(tenant_id: uuid.UUID, *, now: datetime) -> dict[uuid.UUID, frozenset[uuid.UUID]]:
    """Who stands in for whom at `now`: delegate → the people whose delegate they are. It does not chain."""
    found: dict[uuid.UUID, set[uuid.UUID]] = {}
    active = Delegation.objects.filter(tenant_id=tenant_id, ends_at__gt=now, starts_at__lte=now)
    for delegate, delegator in active.values_list("delegate_id", "delegator_id"):
        found.setdefault(delegate, set()).add(delegator)
    return {delegate: frozenset(delegators) for delegate, delegators in found.items()}


def acting_person(ctx: ActingContext, *, workflow_id: uuid.UUID) -> Person:
    """Who acts, with the rights of this request: a role or scope that the credential leaves out does not count."""
    return Person(
        id=ctx.principal_id,
        kind=ctx.principal_kind,
        name=ctx.principal_name,
        roles=ctx.roles,
        groups=ctx.groups,
        scopes=frozenset(scope.value for scope in ctx.scopes | ctx.grants.workflows.get(workflow_id, frozenset())),
    )
