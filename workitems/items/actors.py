"""Actors in policy facts: the principal that requested an action, also if a worker runs it later."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

from integrations.models import Execution
from threada_site.database.sets.shared_reads import shared
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.members import members
from threada_site.tenancy.models import User
from workitems.models import WorkItem


@dataclass(frozen=True, slots=True)
class Actor:
    """Facts `ctx.actor`, `ctx.actor_kind` and `ctx.roles`: public id, kind, and roles held."""

    id: str
    kind: str
    roles: tuple[str, ...]


SYSTEM_KIND: Final = "system"
"""Fact `ctx.actor_kind` of an undo that Threada started by itself."""


def actor_in(ctx: ActingContext) -> Actor:
    """Return the acting principal, with the roles of this request."""
    return Actor(ctx.actor, ctx.principal_kind.value, tuple(sorted(ctx.roles)))


def actor_behind(principal_id: uuid.UUID, *, tenant_id: uuid.UUID) -> Actor:
    """Return a principal with its current roles; without roles if it is not an active member."""
    return shared(("actor", tenant_id, principal_id), lambda: _read_actor(principal_id, tenant_id))


def _read_actor(principal_id: uuid.UUID, tenant_id: uuid.UUID) -> Actor:
    public_id = ids.public_id(ids.PRINCIPAL, principal_id)
    for member in members(tenant_id, among=[principal_id]):
        return Actor(public_id, member.kind.value, tuple(sorted(member.permissions.roles)))
    return Actor(public_id, User.objects.values_list("kind", flat=True).get(id=principal_id), ())


def actor_of(execution: Execution) -> Actor:
    """Return the actor of an execution: the principal that requested it, with its current roles.

    A timed undo is requested in the name of the requester of the undone execution, with the kind `system` and without
    roles, whether or not the requester is still a member.
    """
    if execution.is_timed_undo:
        return Actor(ids.public_id(ids.PRINCIPAL, execution.requested_by), SYSTEM_KIND, ())
    return actor_behind(execution.requested_by, tenant_id=execution.tenant_id)


def payload_author(item: WorkItem) -> Actor:
    """Return the author of the current payload, who is the actor of the intake decision."""
    return actor_behind(item.edited_by_id or item.submitted_by_id, tenant_id=item.tenant_id)
