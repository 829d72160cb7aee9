"""Who could decide a step: members of the tenant as approval rules see them, and who stands in for whom."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, cast

from policies.language.approvals import Leaf, LeafKind, from_json, has_stages
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope
from threada_site.tenancy.members import Member, members
from workitems.approvers import count_votes as tally
from workitems.approvers.awaited_keys import keys_held
from workitems.approvers.count_votes import Person
from workitems.models import DecisionStep, Delegation, Vote


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
    """Who stands in for whom on one step: as it was when they voted, or else as it is now."""
    return {**standing, **{vote.voter_id: frozenset(vote.stands_for) for vote in votes}}


def excluded_on(step: DecisionStep, standing: Mapping[uuid.UUID, frozenset[uuid.UUID]]) -> frozenset[uuid.UUID]:
    """Who has a part in the case, and who stands in for somebody who has, or the other way round."""
    return tally.barred(step.excluded_ids, standing)


def tally_on(step: DecisionStep, staff: Staff, votes: Collection[Vote], *, workflow_id: uuid.UUID) -> tally.Tally:
    """What these votes on the step amount to among the staff, with delegates and whom it was escalated to."""
    return tally.tally(
        from_json(step.rule),
        [
            tally.Vote(vote.voter_id, PrincipalKind(vote.voter_kind), cast("Any", vote.decision), vote.created_at)
            for vote in votes
        ],
        [person_of(member, workflow_id=workflow_id) for member in staff],
        excluded=step.excluded_ids,
        stands_for=standing_on(votes, staff.stands_for),
        stand_ins=leaves_of(step.escalated_to),
    )


def eligibility_on(
    step: DecisionStep,
    *,
    ctx: ActingContext,
    workflow_id: uuid.UUID,
    votes: Collection[Vote],
    staff: Staff | None = None,
) -> tally.Eligibility:
    """Whether the decision of who makes this request would count on the step: API, console and `explain` ask here."""
    found = staff or staff_of(step.tenant_id, among=people_of(votes) | {ctx.principal_id})
    return _eligibility(step, acting_person(ctx, workflow_id=workflow_id), found, votes, workflow_id=workflow_id)


def eligible_on(step: DecisionStep, staff: Staff, votes: Collection[Vote], *, workflow_id: uuid.UUID) -> set[uuid.UUID]:
    """The people of the staff whose decision counts on the step."""
    persons = (person_of(member, workflow_id=workflow_id) for member in staff)
    return {
        person.id
        for person in persons
        if _eligibility(step, person, staff, votes, workflow_id=workflow_id) is tally.Eligibility.COUNTS
    }


def people_of(votes: Iterable[Vote]) -> set[uuid.UUID]:
    """Who voted, and whom they stood for."""
    return {person for vote in votes for person in (vote.voter_id, *vote.stands_for)}


def _eligibility(
    step: DecisionStep, person: Person, staff: Staff, votes: Collection[Vote], *, workflow_id: uuid.UUID
) -> tally.Eligibility:
    """A delegate has nobody's place any more once that person, or another delegate of theirs, has voted."""
    standing = standing_on(votes, staff.stands_for)
    taken = people_of(vote for vote in votes if vote.voter_id != person.id)
    delegators = [staff.by_id[who] for who in standing.get(person.id, ()) if who in staff.by_id and who not in taken]
    rule = from_json(step.rule)
    return tally.eligibility(
        rule,
        person,
        excluded_on(step, standing),
        delegators=[person_of(member, workflow_id=workflow_id) for member in delegators],
        stand_ins=leaves_of(step.escalated_to),
        opened=tally_on(step, staff, votes, workflow_id=workflow_id).opened if has_stages(rule.tree) else None,
    )


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
    keys = {f"{leaf.kind}:{leaf.name}" for leaf in targets}
    return [person for person in people if keys & _keys_of(person)]


def held_by(ctx: ActingContext, *, now: datetime | None = None) -> tuple[frozenset[str], frozenset[uuid.UUID]]:
    """The keys by which steps wait for who makes this request, and the people whose part in a case bars them."""
    keys = keys_held(
        name=ctx.principal_name,
        roles=ctx.roles,
        groups=ctx.groups,
        scopes=(scope.value for scope in ctx.scopes),
        workflow_scopes=_on_workflows(ctx.grants.workflows),
    )
    standing = stands_for(ctx.tenant_id, now=now or clock.now())
    delegators = standing.get(ctx.principal_id)
    if delegators:
        for member in members(ctx.tenant_id, among=delegators, humans_only=True):
            keys |= keys_held(
                name=member.username,
                roles=member.rights.roles,
                groups=member.rights.groups,
                scopes=(scope.value for scope in member.rights.scopes),
                workflow_scopes=_on_workflows(member.rights.grants.workflows),
            )
    known = {ctx.principal_id, *standing, *(who for others in standing.values() for who in others)}
    return keys, frozenset(who for who in known if ctx.principal_id in tally.barred([who], standing))


def _on_workflows(grants: Mapping[uuid.UUID, frozenset[Scope]]) -> list[tuple[uuid.UUID, list[str]]]:
    return [(workflow_id, [scope.value for scope in held]) for workflow_id, held in grants.items()]


def leaves_of(values: Iterable[Mapping[str, Any]]) -> tuple[Leaf, ...]:
    """Leaves as steps store whom they were escalated to: `[{"role": "finance_lead"}]`."""
    return tuple(Leaf(cast("LeafKind", kind), name) for value in values for kind, name in value.items())


def _keys_of(person: Person) -> frozenset[str]:
    return keys_held(
        name=person.name, roles=person.roles, groups=person.groups, scopes=person.scopes, workflow_scopes=()
    )
