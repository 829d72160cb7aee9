"""Members of a tenant as approvers, with their delegations and the keys by which steps find them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, cast

from policies.language.approvals import Leaf, LeafKind
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.grant_times import GrantTimes, read_grant_times
from threada_site.tenancy.members import Member, members
from workitems.approvers import count_votes
from workitems.approvers.approver_keys import approver_keys
from workitems.approvers.candidates import Approver
from workitems.approvers.timely_grants import key_times
from workitems.models import Delegation


@dataclass(frozen=True)
class ActiveMembers:
    """Active human members of a tenant at one moment, and their delegations (`delegate → delegators`).

    Contains only people who have accepted their invitation. `grant_times` contains the times from which their grants
    count, see `threada_site.tenancy.grant_times`.
    """

    members: tuple[Member, ...]
    stands_for: Mapping[uuid.UUID, frozenset[uuid.UUID]]
    grant_times: Mapping[uuid.UUID, GrantTimes]

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    @cached_property
    def grants_began(self) -> list[datetime]:
        """Times of all unconfirmed grants, in order. Between two of them, the same grants count on every step."""
        return sorted({since for times in self.grant_times.values() for since in times.values() if since is not None})

    @cached_property
    def by_id(self) -> dict[uuid.UUID, Member]:
        return {member.id: member for member in self.members}


def active_members_of(
    tenant_id: uuid.UUID, *, now: datetime | None = None, among: Collection[uuid.UUID] | None = None
) -> ActiveMembers:
    """Return the active human members of the tenant; with `among` only those and their delegators.

    Runs three statements.
    """
    standing = stands_for(tenant_id, now=now or clock.now())
    if among is not None:
        among = {*among, *(delegator for person in among for delegator in standing.get(person, ()))}
    found = members(tenant_id, among=among, humans_only=True)
    accepted = tuple(member for member in found if member.is_accepted)
    return ActiveMembers(accepted, standing, read_grant_times(tenant_id, [member.id for member in accepted]))


def stands_for(tenant_id: uuid.UUID, *, now: datetime) -> dict[uuid.UUID, frozenset[uuid.UUID]]:
    """Return the delegations in force at `now`: delegate → delegators. Delegations do not chain."""
    found: dict[uuid.UUID, set[uuid.UUID]] = {}
    active = Delegation.objects.filter(
        tenant_id=tenant_id, ends_at__gt=now, starts_at__lte=now, consented_at__isnull=False
    )
    for delegate, delegator in active.values_list("delegate_id", "delegator_id"):
        found.setdefault(delegate, set()).add(delegator)
    return {delegate: frozenset(delegators) for delegate, delegators in found.items()}


def approver_of(member: Member, *, workflow_id: uuid.UUID) -> Approver:
    return Approver(
        id=member.id,
        kind=member.kind,
        name=member.username,
        roles=member.permissions.roles,
        groups=member.permissions.groups,
        scopes=frozenset(scope.value for scope in member.scopes_on(workflow_id)),
        controlled_by=member.controlled_by,
    )


def acting_approver(ctx: ActingContext, member: Member | None, *, workflow_id: uuid.UUID) -> Approver:
    """Return the acting principal as an approver, with the permissions of this request only.

    Roles and scopes that the credential does not include do not count. `member` is the principal's row.
    """
    return Approver(
        id=ctx.principal_id,
        kind=ctx.principal_kind,
        name=ctx.principal_name,
        roles=ctx.roles,
        groups=ctx.groups,
        scopes=frozenset(scope.value for scope in ctx.scopes | ctx.grants.workflows.get(workflow_id, frozenset())),
        controlled_by=member.controlled_by if member else frozenset(),
    )


def approvers_matching(targets: Iterable[Leaf], people: Iterable[Approver]) -> list[Approver]:
    """Return the approvers that match one of `targets`."""
    keys = {f"{leaf.kind}:{leaf.name}" for leaf in targets}
    return [person for person in people if keys & _keys_of(person)]


@dataclass(frozen=True, slots=True)
class ApproverKeys:
    """Keys by which steps find the acting principal, including those of delegators who may decide.

    `late` are keys of unconfirmed grants with the time from which they count: on steps whose `grants_as_of` is later.
    `excluding` are the members whose exclusion also excludes the principal.
    """

    always: frozenset[str]
    late: tuple[tuple[str, datetime], ...]
    excluding: frozenset[uuid.UUID]


def approver_keys_of(ctx: ActingContext, *, now: datetime | None = None) -> ApproverKeys:
    """Return the keys of the acting principal. Runs two statements, one more for a delegate."""
    standing = stands_for(ctx.tenant_id, now=now or clock.now())
    delegators = standing.get(ctx.principal_id, frozenset())
    times = read_grant_times(ctx.tenant_id, [ctx.principal_id, *delegators])
    own = approver_keys(
        name=ctx.principal_name,
        roles=ctx.roles,
        groups=ctx.groups,
        scopes=(scope.value for scope in ctx.scopes),
        workflow_scopes=_on_workflows(ctx.grants.workflows),
    )
    held = [(own, times[ctx.principal_id])]
    for member in members(ctx.tenant_id, among=delegators, humans_only=True) if delegators else ():
        if member.decides_somewhere:
            keys = approver_keys(
                name=member.username,
                roles=member.permissions.roles,
                groups=member.permissions.groups,
                scopes=(scope.value for scope in member.permissions.scopes),
                workflow_scopes=_on_workflows(member.permissions.grants.workflows),
            )
            held.append((keys, times[member.id]))
    known = {ctx.principal_id, *standing, *(who for others in standing.values() for who in others)}
    counting = [(key, since) for keys, since_of in held for key, since in key_times(keys, since_of).items()]
    return ApproverKeys(
        always=frozenset(key for key, since in counting if since is None),
        late=tuple((key, since) for key, since in counting if since is not None),
        excluding=frozenset(
            who for who in known if ctx.principal_id in count_votes.excluded_transitively([who], standing)
        ),
    )


def _on_workflows(grants: Mapping[uuid.UUID, frozenset[Scope]]) -> list[tuple[uuid.UUID, list[str]]]:
    return [(workflow_id, [scope.value for scope in held]) for workflow_id, held in grants.items()]


def escalation_leaves(values: Iterable[Mapping[str, Any]]) -> tuple[Leaf, ...]:
    """Return the leaves that a step stores in `escalated_to`: `[{"role": "finance_lead"}]`."""
    return tuple(Leaf(cast("LeafKind", kind), name) for value in values for kind, name in value.items())


def _keys_of(person: Approver) -> frozenset[str]:
    return approver_keys(
        name=person.name, roles=person.roles, groups=person.groups, scopes=person.scopes, workflow_scopes=()
    )
