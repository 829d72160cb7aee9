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
class IdentityKeys:
    """Keys by which steps find one person, with the time from which each counts; None: on every step."""

    times: tuple[tuple[str, datetime | None], ...]

    @property
    def always(self) -> frozenset[str]:
        return frozenset(key for key, since in self.times if since is None)

    @property
    def late(self) -> tuple[tuple[str, datetime], ...]:
        """Keys of unconfirmed grants: they count on steps whose `grants_as_of` is later."""
        return tuple((key, since) for key, since in self.times if since is not None)


@dataclass(frozen=True, slots=True)
class ApproverKeys:
    """Keys by which steps find the acting principal: its own, and those of delegators who may decide.

    `identities` are the principal and these delegators, `standing_for` all delegators. `excluding` are the members
    whose exclusion also excludes the principal by a delegation.
    """

    own: IdentityKeys
    delegators: tuple[IdentityKeys, ...]
    identities: frozenset[uuid.UUID]
    standing_for: frozenset[uuid.UUID]
    excluding: frozenset[uuid.UUID]


def approver_keys_of(ctx: ActingContext, *, now: datetime | None = None) -> ApproverKeys:
    """Return the keys of the acting principal. Runs two statements, one more while delegations are in force."""
    standing = stands_for(ctx.tenant_id, now=now or clock.now())
    delegators = standing.get(ctx.principal_id, frozenset())
    times = read_grant_times(ctx.tenant_id, [ctx.principal_id, *delegators])
    known = members(ctx.tenant_id, among={ctx.principal_id, *delegators}, humans_only=True) if standing else []
    deciding = [one for one in known if one.id in delegators and one.is_accepted and one.decides_somewhere]
    own = approver_keys(
        name=ctx.principal_name,
        roles=ctx.roles,
        groups=ctx.groups,
        scopes=(scope.value for scope in ctx.scopes),
        workflow_scopes=_on_workflows(ctx.grants.workflows),
    )
    identities = frozenset({ctx.principal_id, *(one.id for one in deciding)})
    controllers = identities.union(*(one.controlled_by for one in known if one.id in identities))
    everybody = {*controllers, *standing, *(who for others in standing.values() for who in others)}
    return ApproverKeys(
        own=IdentityKeys(tuple(key_times(own, times[ctx.principal_id]).items())),
        delegators=tuple(
            IdentityKeys(tuple(key_times(_keys_of_member(one), times[one.id]).items())) for one in deciding
        ),
        identities=identities,
        standing_for=delegators,
        excluding=frozenset(
            who for who in everybody if not controllers.isdisjoint(count_votes.excluded_transitively([who], standing))
        ),
    )


def _keys_of_member(member: Member) -> frozenset[str]:
    return approver_keys(
        name=member.username,
        roles=member.permissions.roles,
        groups=member.permissions.groups,
        scopes=(scope.value for scope in member.permissions.scopes),
        workflow_scopes=_on_workflows(member.permissions.grants.workflows),
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
