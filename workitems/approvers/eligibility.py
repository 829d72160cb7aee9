"""Eligibility of members for a decision step, with delegations."""

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
from workitems.approvers import count_votes
from workitems.approvers.approver_keys import approver_keys
from workitems.approvers.count_votes import Approver
from workitems.models import DecisionStep, Delegation, Vote


@dataclass(frozen=True)
class ActiveMembers:
    """Active human members of a tenant at one moment, and their delegations (`delegate → delegators`)."""

    members: tuple[Member, ...]
    stands_for: Mapping[uuid.UUID, frozenset[uuid.UUID]]

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    @cached_property
    def by_id(self) -> dict[uuid.UUID, Member]:
        return {member.id: member for member in self.members}


def active_members_of(
    tenant_id: uuid.UUID, *, now: datetime | None = None, among: Collection[uuid.UUID] | None = None
) -> ActiveMembers:
    """Return the active human members of the tenant; with `among` only those and their delegators.

    Runs two statements.
    """
    standing = stands_for(tenant_id, now=now or clock.now())
    if among is not None:
        among = {*among, *(delegator for person in among for delegator in standing.get(person, ()))}
    return ActiveMembers(tuple(members(tenant_id, among=among, humans_only=True)), standing)


def stands_for(tenant_id: uuid.UUID, *, now: datetime) -> dict[uuid.UUID, frozenset[uuid.UUID]]:
    """Return the delegations at `now`: delegate → delegators. Delegations do not chain."""
    found: dict[uuid.UUID, set[uuid.UUID]] = {}
    active = Delegation.objects.filter(tenant_id=tenant_id, ends_at__gt=now, starts_at__lte=now)
    for delegate, delegator in active.values_list("delegate_id", "delegator_id"):
        found.setdefault(delegate, set()).add(delegator)
    return {delegate: frozenset(delegators) for delegate, delegators in found.items()}


def delegators_on(
    votes: Iterable[Vote], standing: Mapping[uuid.UUID, frozenset[uuid.UUID]]
) -> dict[uuid.UUID, frozenset[uuid.UUID]]:
    """Return the delegations that apply on one step: of voters as of their vote, of all others as of now."""
    return {**standing, **{vote.voter_id: frozenset(vote.stands_for) for vote in votes}}


def excluded_on(step: DecisionStep, standing: Mapping[uuid.UUID, frozenset[uuid.UUID]]) -> frozenset[uuid.UUID]:
    """Return the members excluded from the step, including their delegates and delegators."""
    return count_votes.excluded_transitively(step.excluded_ids, standing)


def count_votes_on(
    step: DecisionStep, active_members: ActiveMembers, votes: Collection[Vote], *, workflow_id: uuid.UUID
) -> count_votes.VoteResult:
    """Return the result of `votes` on the step, with delegations and escalation targets."""
    return count_votes.count_votes(
        from_json(step.rule),
        [
            count_votes.Vote(vote.voter_id, PrincipalKind(vote.voter_kind), cast("Any", vote.decision), vote.created_at)
            for vote in votes
        ],
        [approver_of(member, workflow_id=workflow_id) for member in active_members],
        excluded=step.excluded_ids,
        stands_for=delegators_on(votes, active_members.stands_for),
        stand_ins=leaves_of(step.escalated_to),
    )


def eligibility_on(
    step: DecisionStep,
    *,
    ctx: ActingContext,
    workflow_id: uuid.UUID,
    votes: Collection[Vote],
    active_members: ActiveMembers | None = None,
) -> count_votes.Eligibility:
    """Return whether the vote of the acting principal counts on the step. Used by API, console and `explain`."""
    found = active_members or active_members_of(step.tenant_id, among=principals_of(votes) | {ctx.principal_id})
    return _eligibility(step, acting_approver(ctx, workflow_id=workflow_id), found, votes, workflow_id=workflow_id)


def eligible_on(
    step: DecisionStep, active_members: ActiveMembers, votes: Collection[Vote], *, workflow_id: uuid.UUID
) -> set[uuid.UUID]:
    """Return the ids of the members whose vote counts on the step."""
    persons = (approver_of(member, workflow_id=workflow_id) for member in active_members)
    return {
        person.id
        for person in persons
        if _eligibility(step, person, active_members, votes, workflow_id=workflow_id) is count_votes.Eligibility.COUNTS
    }


def principals_of(votes: Iterable[Vote]) -> set[uuid.UUID]:
    """Return the ids of the voters and of the delegators they voted for."""
    return {person for vote in votes for person in (vote.voter_id, *vote.stands_for)}


def _eligibility(
    step: DecisionStep,
    person: Approver,
    active_members: ActiveMembers,
    votes: Collection[Vote],
    *,
    workflow_id: uuid.UUID,
) -> count_votes.Eligibility:
    """Return the eligibility of one approver.

    A delegate no longer acts for a delegator once that delegator, or another delegate of theirs, has voted.
    """
    standing = delegators_on(votes, active_members.stands_for)
    taken = principals_of(vote for vote in votes if vote.voter_id != person.id)
    delegators = [
        active_members.by_id[who]
        for who in standing.get(person.id, ())
        if who in active_members.by_id and who not in taken
    ]
    rule = from_json(step.rule)
    return count_votes.eligibility(
        rule,
        person,
        excluded_on(step, standing),
        delegators=[approver_of(member, workflow_id=workflow_id) for member in delegators],
        stand_ins=leaves_of(step.escalated_to),
        opened=count_votes_on(step, active_members, votes, workflow_id=workflow_id).opened
        if has_stages(rule.tree)
        else None,
    )


def approver_of(member: Member, *, workflow_id: uuid.UUID) -> Approver:
    return Approver(
        id=member.id,
        kind=member.kind,
        name=member.username,
        roles=member.permissions.roles,
        groups=member.permissions.groups,
        scopes=frozenset(scope.value for scope in member.scopes_on(workflow_id)),
    )


def acting_approver(ctx: ActingContext, *, workflow_id: uuid.UUID) -> Approver:
    """Return the acting principal as an approver, with the permissions of this request only.

    Roles and scopes that the credential does not include do not count.
    """
    return Approver(
        id=ctx.principal_id,
        kind=ctx.principal_kind,
        name=ctx.principal_name,
        roles=ctx.roles,
        groups=ctx.groups,
        scopes=frozenset(scope.value for scope in ctx.scopes | ctx.grants.workflows.get(workflow_id, frozenset())),
    )


def approvers_matching(targets: Iterable[Leaf], people: Iterable[Approver]) -> list[Approver]:
    """Return the approvers that match one of `targets`."""
    keys = {f"{leaf.kind}:{leaf.name}" for leaf in targets}
    return [person for person in people if keys & _keys_of(person)]


def approver_keys_of(ctx: ActingContext, *, now: datetime | None = None) -> tuple[frozenset[str], frozenset[uuid.UUID]]:
    """Return the keys of the acting principal, and the members whose exclusion also excludes this principal.

    The keys include those of the delegators of the principal.
    """
    keys = approver_keys(
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
            keys |= approver_keys(
                name=member.username,
                roles=member.permissions.roles,
                groups=member.permissions.groups,
                scopes=(scope.value for scope in member.permissions.scopes),
                workflow_scopes=_on_workflows(member.permissions.grants.workflows),
            )
    known = {ctx.principal_id, *standing, *(who for others in standing.values() for who in others)}
    return keys, frozenset(
        who for who in known if ctx.principal_id in count_votes.excluded_transitively([who], standing)
    )


def _on_workflows(grants: Mapping[uuid.UUID, frozenset[Scope]]) -> list[tuple[uuid.UUID, list[str]]]:
    return [(workflow_id, [scope.value for scope in held]) for workflow_id, held in grants.items()]


def leaves_of(values: Iterable[Mapping[str, Any]]) -> tuple[Leaf, ...]:
    """Return the leaves that a step stores in `escalated_to`: `[{"role": "finance_lead"}]`."""
    return tuple(Leaf(cast("LeafKind", kind), name) for value in values for kind, name in value.items())


def _keys_of(person: Approver) -> frozenset[str]:
    return approver_keys(
        name=person.name, roles=person.roles, groups=person.groups, scopes=person.scopes, workflow_scopes=()
    )
