"""Who could decide a step: members of the tenant as approval rules see them, and who stands in for whom."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from policies.approvals import Leaf, from_json, leaves
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.tenancy.people import Member, members
from workitems import tally
from workitems.awaited import keys_of_leaves
from workitems.models import Delegation, DecisionStep, Vote
from workitems.tally import Person


@dataclass(frozen=True)
class Staff:
    """The people of a tenant at one moment, and who of them stands in for whom (`delegate → delegators`)."""

    members: tuple[Member, ...]
    stands_for: Mapping[uuid.UUID, frozenset[uuid.UUID]]

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    @cached_property
    def by_id(self) -> dict[uuid.UUID, Member]:
        return {member.id: member for member in self.members}


def staff_of(tenant_id: uuid.UUID, *, now: datetime | None = None, among: Collection[uuid.UUID] | None = None) -> Staff:
    """All active people of the tenant; with `among` only those, and whom they stand in for. Two statements."""
    standing = stands_for(tenant_id, now=now or clock.now())
    if among is not None:
        among = {*among, *(delegator for person in among for delegator in standing.get(person, ()))}
    return Staff(tuple(members(tenant_id, among=among, humans_only=True)), standing)


def stands_for(tenant_id: uuid.UUID, *, now: datetime) -> dict[uuid.UUID, frozenset[uuid.UUID]]:
    """Who stands in for whom at `now`: delegate → the people whose delegate they are. It does not chain."""
    found: dict[uuid.UUID, set[uuid.UUID]] = {}
    active = Delegation.objects.filter(tenant_id=tenant_id, ends_at__gt=now, starts_at__lte=now)
    for delegate, delegator in active.values_list("delegate_id", "delegator_id"):
        found.setdefault(delegate, set()).add(delegator)
    return {delegate: frozenset(delegators) for delegate, delegators in found.items()}


def standing_on(
    votes: Iterable[Vote], standing: Mapping[uuid.UUID, frozenset[uuid.UUID]]
) -> dict[uuid.UUID, frozenset[uuid.UUID]]:
    """Who stands in for whom on one step: as it was when they voted, for those who did; as it is now, for the others."""
    return {**standing, **{vote.voter_id: frozenset(vote.stands_for) for vote in votes}}


def excluded_on(step: DecisionStep, standing: Mapping[uuid.UUID, frozenset[uuid.UUID]]) -> set[uuid.UUID]:
    """Who has a part in the case, and who stands in for somebody who has."""
    excluded = set(step.excluded_ids)
    return excluded | {delegate for delegate, delegators in standing.items() if delegators & excluded}


def people_on(step: DecisionStep, staff: Staff, votes: Collection[Vote], *, workflow_id: uuid.UUID) -> list[Person]:
    """The staff as the step's rule sees them now.

    A delegate stands at the leaves of whom they stand in for, unless that person has voted or another delegate of theirs
    has: nobody's place is taken twice. Whom the step was escalated to stands at every leaf.
    """
    persons = {member.id: person_of(member, workflow_id=workflow_id) for member in staff}
    standing = standing_on(votes, staff.stands_for)
    return [_as_on(step, person, persons, standing, votes) for person in persons.values()]


def person_on(
    step: DecisionStep, person: Person, staff: Staff, votes: Collection[Vote], *, workflow_id: uuid.UUID
) -> Person:
    """One person, with the rights given, as the step's rule sees them now."""
    persons = {member.id: person_of(member, workflow_id=workflow_id) for member in staff}
    return _as_on(step, person, persons, standing_on(votes, staff.stands_for), votes)


def eligibility_on(
    step: DecisionStep, *, ctx: ActingContext, workflow_id: uuid.UUID, votes: Collection[Vote], staff: Staff | None = None
) -> tally.Eligibility:
    """Whether the decision of who makes this request would count on the step. API, console and explanations ask here."""
    found = staff or staff_of(step.tenant_id, among=[ctx.principal_id])
    person = person_on(step, acting_person(ctx, workflow_id=workflow_id), found, votes, workflow_id=workflow_id)
    excluded = excluded_on(step, standing_on(votes, found.stands_for))
    return tally.eligibility(from_json(step.rule), person, excluded)


def person_of(member: Member, *, workflow_id: uuid.UUID) -> Person:
    return Person(
        id=member.id,
        kind=member.kind,
        name=member.username,
        roles=member.rights.roles,
        groups=member.rights.groups,
        scopes=frozenset(scope.value for scope in member.scopes_on(workflow_id)),
    )


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


def standing_at(targets: Iterable[Leaf], people: Iterable[Person]) -> list[Person]:
    """The people who stand at one of `targets`."""
    keys = {_key(leaf) for leaf in targets}
    return [person for person in people if keys & _keys_of(person)]


def leaves_of(values: Iterable[Mapping[str, Any]]) -> tuple[Leaf, ...]:
    """Leaves as steps store whom they were escalated to: `[{"role": "finance_lead"}]`."""
    return tuple(Leaf(kind, name) for value in values for kind, name in value.items())


def _as_on(
    step: DecisionStep,
    person: Person,
    persons: Mapping[uuid.UUID, Person],
    standing: Mapping[uuid.UUID, frozenset[uuid.UUID]],
    votes: Collection[Vote],
) -> Person:
    also: set[str] = set()
    if person.kind is PrincipalKind.HUMAN:
        voted = {vote.voter_id for vote in votes}
        for delegator in sorted(standing.get(person.id, frozenset())):
            claimants = sorted(vote.voter_id for vote in votes if delegator in vote.stands_for)
            is_taken = delegator in voted or (bool(claimants) and claimants[0] != person.id)
            if delegator in persons and not is_taken:
                also |= _keys_of(persons[delegator])
    escalated = {_key(leaf) for leaf in leaves_of(step.escalated_to)}
    if escalated & (_keys_of(person) | also):
        also |= {_key(leaf) for leaf in leaves(from_json(step.rule).tree)}
    return replace(person, also=frozenset(also)) if also else person


def _keys_of(person: Person) -> frozenset[str]:
    return frozenset(
        (
            f"user:{person.name}",
            *(f"role:{role}" for role in person.roles),
            *(f"group:{group}" for group in person.groups),
            *(f"scope:{scope}" for scope in person.scopes),
        )
    )


def _key(leaf: Leaf) -> str:
    return f"{leaf.kind}:{leaf.name}"
