"""Writing of the times and confirmations of grants: `GrantRecord` and `RoleScopeRecord`."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.authority_models import ChangeSet, GrantKind, GrantRecord, RoleScopeRecord


def record_grants(
    users: Iterable[uuid.UUID],
    kind: GrantKind,
    name: str = "",
    *,
    source: str = "",
    by: uuid.UUID | None = None,
    ctx: ActingContext,
) -> None:
    """Store that these principals hold the grant from now on. A grant that is recorded already keeps its time.

    `source`: the identity provider that makes the grant. `by`: the steward who alone decided that it does, so that the
    grant is not confirmed.
    """
    origin = {**(_origin(ctx) if by is None else {"effective_at": clock.now(), "granted_by": by}), "source": source}
    GrantRecord.objects.bulk_create(
        [GrantRecord(tenant_id=ctx.tenant_id, user_id=user, kind=kind, name=name, **origin) for user in users],
        ignore_conflicts=True,
    )


def end_grants(
    users: Collection[uuid.UUID] | None, kind: GrantKind | None = None, name: str | None = None, *, ctx: ActingContext
) -> None:
    """Delete the records of these principals (None: of all), of one kind and name or of all."""
    records = GrantRecord.objects.filter(tenant_id=ctx.tenant_id)
    if users is not None:
        records = records.filter(user_id__in=users)
    if kind is not None:
        records = records.filter(kind=kind)
    if name is not None:
        records = records.filter(name=name)
    records.delete()


def record_role_scopes(scopes_by_role: Mapping[str, frozenset[Scope]], *, ctx: ActingContext) -> None:
    """Store from when on each role has its scopes. A scope that the role had before keeps its time."""
    origin = _origin(ctx)
    known = RoleScopeRecord.objects.filter(tenant_id=ctx.tenant_id)
    for role, scopes in scopes_by_role.items():
        known.filter(role=role).exclude(scope__in=[scope.value for scope in scopes]).delete()
    RoleScopeRecord.objects.bulk_create(
        [
            RoleScopeRecord(tenant_id=ctx.tenant_id, role=role, scope=scope.value, **origin)
            for role, scopes in scopes_by_role.items()
            for scope in sorted(scopes)
        ],
        ignore_conflicts=True,
    )


def _origin(ctx: ActingContext) -> dict[str, Any]:
    """Return the times and people of a grant that `ctx` makes now.

    The operator confirms by making it; the publisher of a change set confirms what its proposer granted.
    """
    now = clock.now()
    if ctx.is_system:
        return {"effective_at": now, "confirmed_at": now}
    if ctx.change_set_id is None:
        return {"effective_at": now, "granted_by": ctx.principal_id}
    change_set = ChangeSet.objects.get(tenant_id=ctx.tenant_id, id=ctx.change_set_id)
    return {
        "effective_at": now,
        "granted_by": change_set.proposed_by,
        "confirmed_by": ctx.principal_id,
        "confirmed_at": now,
    }
