"""Holdings of the members of a tenant: roles, groups, scopes on objects, credentials, break-glass rights.

Times and givers are those that are recorded already: grants (`GrantRecord`), credentials, sessions, last sign-in. A
role that is held without a record is listed without them.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Max, Q, QuerySet
from guardian.models import GroupObjectPermission

from threada_site.database.joint_reads import fetch_together
from threada_site.identity.grants.object_grants import object_slugs, split_name
from threada_site.identity.known_as import known_ids
from threada_site.identity.selectors import identity_providers
from threada_site.kernel import clock, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ALL_SCOPES, Scope
from threada_site.tenancy.authority_models import GrantKind, GrantRecord
from threada_site.tenancy.models import ConsoleSession, Credential, IdentityProvider, Membership, User


@dataclass(frozen=True, slots=True)
class Held:
    """One thing that a member holds. `by`: who gave it; None: the operator, or not recorded.

    `kind` is `role`, `group`, `scope`, `credential` or `break_glass`; `name` identifies it. `label`: what the
    holder calls a credential, which may be erased later.
    """

    kind: str
    name: str
    since: datetime | None = None
    by: uuid.UUID | None = None
    used_at: datetime | None = None
    label: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it without names of people."""
        found = {"kind": self.kind, "name": self.name, "since": _written(self.since), "by": _principal(self.by)}
        return found | ({"last_used_at": _written(self.used_at)} if self.kind == "credential" else {})


@dataclass(slots=True)
class Holding:
    """Everything that one member holds.

    `known_as`: the id by which the tenant knows the member, `owner_known_as` that of its owner. `last_used_at`: last
    sign-in, use of a session, or use of a credential.
    """

    member: Membership
    held: list[Held] = field(default_factory=list)
    scopes: frozenset[str] = frozenset()
    last_used_at: datetime | None = None
    names: Mapping[uuid.UUID, str] = field(default_factory=dict)
    known_as: str = ""
    owner_known_as: str = ""

    @property
    def is_steward(self) -> bool:
        return self.scopes >= {scope.value for scope in ALL_SCOPES}

    def of(self, kind: str) -> list[Held]:
        """Return what the member holds of one kind."""
        return [one for one in self.held if one.kind == kind]

    def as_json(self) -> dict[str, Any]:
        """Return what a review fixes. People are named by id."""
        return {
            "principal": self.known_as,
            "kind": self.member.user.kind,
            "owner": self.owner_known_as or None,
            "since": _written(self.member.created_at),
            "by": _principal(self.member.added_by),
            "scopes": sorted(self.scopes),
            "holds": [one.as_json() for one in self.held],
            "last_used_at": _written(self.last_used_at),
        }


def read_holdings(members: Collection[Membership], *, tenant_id: uuid.UUID) -> list[Holding]:
    """Return what each of `members` holds, in their order. Runs two statements, more with scopes on objects."""
    users = [member.user_id for member in members]
    here = {"tenant_id": tenant_id, "user_id__in": users}
    grants = GrantRecord.objects.filter(**here).exclude(name="").order_by("kind", "name")
    live = Q(expires_at=None) | Q(expires_at__gt=clock.now())
    credentials = Credential.objects.filter(live, **here, revoked_at=None).order_by("id")
    used = _used(Credential.objects.filter(**here))
    sessions = _used(ConsoleSession.objects.filter(user_id__in=users, acting_tenant_id=tenant_id))
    scopes = GroupObjectPermission.objects.filter(group__role__tenant_id=tenant_id, object_pk=str(tenant_id))
    scopes = scopes.select_related("group__role", "permission")
    providers = identity_providers(tenant_id)
    roles = User.groups.through.objects.filter(user_id__in=users, group__role__tenant_id=tenant_id)
    given = roles.order_by("group__role__slug").values_list("user_id", "group__role__slug")
    fetch_together(grants, credentials, used, sessions, scopes, providers, given)
    of_role: dict[str, set[str]] = defaultdict(set)
    by_codename = {scope.codename: scope.value for scope in Scope}
    for row in scopes:
        of_role[row.group.role.slug].add(by_codename.get(row.permission.codename, row.permission.codename))
    held: dict[uuid.UUID, list[Held]] = defaultdict(list)
    for grant in _named(grants, tenant_id):
        held[grant.user_id].append(Held(str(grant.kind), grant.name, grant.effective_at, grant.granted_by))
    for user_id, role in given:
        if not any((one.kind, one.name) == ("role", role) for one in held[user_id]):
            held[user_id].append(Held("role", role))
    for credential in credentials:
        issued = (credential.created_at, credential.issued_by, credential.last_used_at)
        held[credential.user_id].append(Held("credential", f"{credential.hint}…", *issued, label=credential.label))
    ids_by_name = {member.user.username: member.user_id for member in members}
    for name, provider in _break_glass(providers):
        if name in ids_by_name:
            held[ids_by_name[name]].append(Held("break_glass", provider))
    last: dict[uuid.UUID, datetime] = {}
    for user_id, at in (*used, *sessions):
        last[user_id] = max(at, last.get(user_id, at))
    names = _names(members, held.values())
    owners = [member.owner_id for member in members if member.owner_id is not None]
    known = known_ids([*users, *owners], tenant_id=tenant_id)
    return [
        Holding(
            member,
            held[member.user_id],
            frozenset(
                scope for one in held[member.user_id] if one.kind == "role" for scope in of_role.get(one.name, ())
            ),
            max(filter(None, (last.get(member.user_id), _last_login(member))), default=None),
            names,
            known[member.user_id],
            known[member.owner_id] if member.owner_id is not None else "",
        )
        for member in members
    ]


def _last_login(member: Membership) -> datetime | None:
    """Return the last sign-in of the account; None of somebody who is only invited, whose account may be elsewhere."""
    return member.user.last_login if member.accepted_at is not None else None


def _used(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return users with the time of the last use."""
    used = rows.filter(last_used_at__isnull=False)
    return used.order_by().values_list("user_id").annotate(Max("last_used_at"))


def _named(grants: Iterable[GrantRecord], tenant_id: uuid.UUID) -> Iterator[GrantRecord]:
    """Yield the grants; scopes on objects with the slugs of the objects."""
    objects: dict[uuid.UUID, tuple[str, str]] | None = None
    for grant in grants:
        if grant.kind == GrantKind.SCOPE:
            objects = object_slugs(tenant_id) if objects is None else objects
            scope, target = split_name(grant.name)
            grant.name = f"{scope} on {' '.join(objects.get(target, ('object', str(target))))}"
        yield grant


def _break_glass(providers: Iterable[IdentityProvider]) -> list[tuple[str, str]]:
    """Return people who may sign in with a password although a provider is enforced, with the provider."""
    return [
        (name, provider.slug)
        for provider in providers
        if provider.current_version is not None
        for name in provider.current_version.spec.get("break_glass", ())
    ]


def _names(members: Collection[Membership], held: Iterable[list[Held]]) -> dict[uuid.UUID, str]:
    wanted = {one.by for of_one in held for one in of_one if one.by} | {one.added_by for one in members if one.added_by}
    return dict(User.objects.filter(id__in=wanted).values_list("id", "username"))


def _principal(principal_id: uuid.UUID | None) -> str | None:
    return ids.public_id(ids.PRINCIPAL, principal_id) if principal_id else None


def _written(time: datetime | None) -> str | None:
    return rfc3339(time) if time is not None else None
