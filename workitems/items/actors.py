"""Who acts, as the policies see it: the person behind an action, also where a worker asks on their behalf."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.members import members
from threada_site.tenancy.models import User
from workitems.models import WorkItem


@dataclass(frozen=True, slots=True)
class Actor:
    """The facts `ctx.actor`, `ctx.actor_kind` and `ctx.roles`: a public id, a kind, the roles held."""

    id: str
    kind: str
    roles: tuple[str, ...]


def actor_in(ctx: ActingContext) -> Actor:
    """Who makes this request, with the roles it was narrowed to."""
    return Actor(ctx.actor, ctx.principal_kind.value, tuple(sorted(ctx.roles)))


def actor_behind(principal_id: uuid.UUID, *, tenant_id: uuid.UUID) -> Actor:
    """A principal with the roles it holds now: none, once it is no active member."""
    public_id = ids.public_id(ids.PRINCIPAL, principal_id)
    for member in members(tenant_id, among=[principal_id]):
        return Actor(public_id, member.kind.value, tuple(sorted(member.permissions.roles)))
    return Actor(public_id, User.objects.values_list("kind", flat=True).get(id=principal_id), ())


def who_handed_in(item: WorkItem) -> Actor:
    """Whose action the intake decision is about: who wrote the payload that is there now."""
    return actor_behind(item.edited_by_id or item.submitted_by_id, tenant_id=item.tenant_id)
