"""Members of a tenant as approvers, with their delegations and the keys by which steps find them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final, cast

import orjson
from django.db.models import QuerySet

from policies.language.approvals import Leaf, LeafKind
from threada_site.database.router import read_connection
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.controllers import UNKNOWN
from threada_site.tenancy.grant_times import GRANT_TIMES_COLUMN, GrantTimes, grant_times_of, read_grant_times
from threada_site.tenancy.members import MEMBER_COLUMNS, Member, member_of, members
from workitems.approvers import count_votes
from workitems.approvers.approver_keys import approver_keys
from workitems.approvers.candidates import Approver
from workitems.approvers.timely_grants import key_times
from workitems.models import Delegation

_ACTIVE_MEMBERS: Final = f"""
    WITH standing AS (
        SELECT delegate_id, delegator_id FROM workitems_delegation
         WHERE tenant_id = $1 AND ends_at > $3::timestamptz AND starts_at <= $3::timestamptz
           AND consented_at IS NOT NULL),
    wanted AS (
        SELECT unnest($2::uuid[]) AS id
         UNION SELECT delegator_id FROM standing WHERE delegate_id = ANY($2::uuid[]))
    (SELECT (SELECT jsonb_agg(jsonb_build_array(delegate_id, delegator_id)) FROM standing),
            NULL::jsonb, NULL::uuid, NULL::text, NULL::text, NULL::text, NULL::jsonb, NULL::boolean,
            ARRAY(SELECT id FROM tenancy_user
                   WHERE home_tenant_id = $1 AND ($2::uuid[] IS NULL OR id = ANY($2::uuid[]))))
    UNION ALL
    (SELECT NULL, {GRANT_TIMES_COLUMN}, {MEMBER_COLUMNS}
      FROM tenancy_membership m
      JOIN tenancy_user u ON u.id = m.user_id
     WHERE m.tenant_id = $1 AND u.is_active AND u.kind = 'human' AND m.accepted_at IS NOT NULL
       AND ($2::uuid[] IS NULL OR u.id IN (SELECT id FROM wanted))
     ORDER BY u.username)
"""
"""One row without a member, with all delegations in force as pairs and the agents and services of the tenant, those of
`$2` only, and one row for each member."""


@dataclass(frozen=True)
class ActiveMembers:
    """Active human members of a tenant at one moment, and their delegations (`delegate → delegators`).

    Contains only people who have accepted their invitation. `grant_times` contains the times from which their grants
    count, see `threada_site.tenancy.grant_times`. `machines` are the ids of agents and services among those asked for.
    """

    members: tuple[Member, ...]
    stands_for: Mapping[uuid.UUID, frozenset[uuid.UUID]]
    grant_times: Mapping[uuid.UUID, GrantTimes]
    machines: frozenset[uuid.UUID] = frozenset()

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

    Runs one statement.
    """
    with read_connection().prepared_cursor() as cursor:
        parameters = [tenant_id, list(among) if among is not None else None, now or clock.now()]
        cursor.execute(_ACTIVE_MEMBERS, parameters)
        found = cursor.fetchall()
    rows = [row for row in found if row[2] is not None]
    ((pairs, machines),) = ((row[0], row[-1]) for row in found if row[2] is None)
    accepted = tuple(member_of(row[2:], tenant_id=tenant_id) for row in rows)
    times = {member.id: grant_times_of(member.id, row[1]) for member, row in zip(accepted, rows, strict=True)}
    standing = orjson.loads(pairs) if isinstance(pairs, str | bytes) else pairs
    delegations = by_delegate(map(uuid.UUID, pair) for pair in standing or ())
    return ActiveMembers(accepted, delegations, times, frozenset(machines))


def stands_for(tenant_id: uuid.UUID, *, now: datetime) -> dict[uuid.UUID, frozenset[uuid.UUID]]:
    """Return the delegations in force at `now`: delegate → delegators. Delegations do not chain."""
    return by_delegate(delegations_in_force(tenant_id, now=now).values_list("delegate_id", "delegator_id"))


def delegations_in_force(tenant_id: uuid.UUID, *, now: datetime) -> QuerySet[Delegation]:
    return Delegation.objects.filter(
        tenant_id=tenant_id, ends_at__gt=now, starts_at__lte=now, consented_at__isnull=False
    )


def by_delegate(pairs: Iterable[Iterable[uuid.UUID]]) -> dict[uuid.UUID, frozenset[uuid.UUID]]:
    """Return pairs (delegate, delegator) as delegate → delegators."""
    found: dict[uuid.UUID, set[uuid.UUID]] = {}
    for delegate, delegator in pairs:
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
        controlled_by=member.controlled_by if member else UNKNOWN,
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
    deciding = [one for one in deciding if one.controlled_by is not UNKNOWN]
    own = approver_keys(
        name=ctx.principal_name,
        roles=ctx.roles,
        groups=ctx.groups,
        scopes=(scope.value for scope in ctx.scopes),
        workflow_scopes=_on_workflows(ctx.grants.workflows),
    )
    identities = frozenset({ctx.principal_id, *(one.id for one in deciding)})
    controls = [one.controlled_by for one in known if one.id in identities]
    controllers = identities.union(*(control.people for control in controls if control is not UNKNOWN))
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
