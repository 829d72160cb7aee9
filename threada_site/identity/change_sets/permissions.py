"""Permissions of change sets: who may read, publish and reject them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Final

from django.db.models import Q, QuerySet

from threada_site.identity.stewardship import is_steward
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.authority_models import ChangeSet, ChangeSetStatus
from threada_site.tenancy.change_sets import operation_named
from threada_site.tenancy.credentials.deciding import require_person
from threada_site.tenancy.four_eyes import FREEZE_FOUR_EYES, POLICY_FOUR_EYES
from threada_site.tenancy.independence import are_independent, read_controllers

REVIEWING: Final = {POLICY_FOUR_EYES: Scope.POLICIES_PUBLISH, FREEZE_FOUR_EYES: Scope.ACTIONS_FREEZE}
"""Rule → scope that reads and publishes its change sets. Those of other rules need a steward."""
_WAITING_READ: Final = 50


def change_sets(ctx: ActingContext) -> QuerySet[ChangeSet]:
    """Return the change sets that `ctx` may read: its own, and those of the rules that it may review."""
    rows = ChangeSet.objects.filter(tenant_id=ctx.tenant_id)
    if is_steward(ctx):
        return rows
    rules = [rule for rule, scope in REVIEWING.items() if ctx.allows(scope)]
    return rows.filter(Q(rule__in=rules) | Q(proposed_by=ctx.principal_id))


def require_reviewer(change_set: ChangeSet, *, ctx: ActingContext) -> None:
    """Raise the errors of `require_person`, or `PermissionDenied` without the scopes of the rule and the operation.

    Raise `ChangeSetStale` if this version does not know the operation.
    """
    require_person("A person must publish or reject a change set, in the console or with a token.", ctx=ctx)
    scope = REVIEWING.get(change_set.rule)
    is_reviewer = is_steward(ctx) if scope is None else ctx.allows(scope)
    if not is_reviewer:
        needed = scope.value if scope else "every scope"
        raise errors.PermissionDenied(f"Change sets of the rule {change_set.rule} need {needed}.")
    needs = operation_named(change_set.operation).scope
    if needs is not None and not ctx.allows(needs):
        raise errors.PermissionDenied(f"This change needs the scope {needs.value} in the whole tenant.")


def require_independent(change_set: ChangeSet, *, ctx: ActingContext, also: Iterable[uuid.UUID] = ()) -> None:
    """Raise `SecondPersonRequired` unless `ctx` is independent of everybody with a part in the change."""
    involved = _people_of([change_set])[change_set.id] | set(also)
    controllers = read_controllers(ctx.tenant_id, [ctx.principal_id, *involved])
    if not all(are_independent(ctx.principal_id, person, controllers) for person in involved):
        raise errors.SecondPersonRequired(
            "You have a part in this change, or depend on a person who has. An independent person must publish it."
        )


def waiting_for(ctx: ActingContext) -> list[ChangeSet]:
    """Return the newest open change sets that `ctx` may publish as an independent person."""
    if not ctx.is_person:
        return []
    rows = change_sets(ctx).filter(status=ChangeSetStatus.PROPOSED).exclude(proposed_by=ctx.principal_id)
    found = [row for row in rows.order_by("-id")[:_WAITING_READ] if _is_reviewer(row, ctx=ctx)]
    if not found:
        return []
    involved = _people_of(found)
    everybody = {ctx.principal_id, *(person for people in involved.values() for person in people)}
    controllers = read_controllers(ctx.tenant_id, everybody)
    return [
        row
        for row in found
        if all(are_independent(ctx.principal_id, person, controllers) for person in involved[row.id])
    ]


def _is_reviewer(change_set: ChangeSet, *, ctx: ActingContext) -> bool:
    try:
        require_reviewer(change_set, ctx=ctx)
    except errors.ThreadaError:
        return False
    return True


def _people_of(rows: list[ChangeSet]) -> dict[uuid.UUID, set[uuid.UUID]]:
    """Return, by change set, its proposer and parties. `read_controllers` finds the people behind services."""
    return {row.id: {*map(uuid.UUID, row.parties), *([row.proposed_by] if row.proposed_by else [])} for row in rows}
