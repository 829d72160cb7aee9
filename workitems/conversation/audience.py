"""Readers and writers of a conversation: everyone who may read the work item, or only those who decide about it.

Comments for deciders are hidden from the people whom the decision is about: the requester, the submitter, and the
owners of agents and services among them. Row-level security hides them from readers of own cases too.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, Final

from django.db.models import QuerySet

from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from workitems.conversation.models import Audience
from workitems.items.erasable_fields import require_contents
from workitems.items.participants import owner_rows, requesters_of
from workitems.models import WorkItem

_HIDDEN: Final = "comments_hidden_from"


def hidden_from(item: WorkItem) -> frozenset[uuid.UUID]:
    """Return the principals from whom comments for deciders on `item` are hidden. One statement per instance."""
    found: frozenset[uuid.UUID] | None = getattr(item, _HIDDEN, None)
    return remember_owners(item, owners_of_requesters(item)) if found is None else found


def owners_of_requesters(item: WorkItem) -> QuerySet[Any, uuid.UUID]:
    """Return the ids of the owners of those who requested `item`."""
    return owner_rows(requesters_of(item), tenant_id=item.tenant_id)


def remember_owners(item: WorkItem, owners: Iterable[uuid.UUID]) -> frozenset[uuid.UUID]:
    """Store the result of `hidden_from` on the instance, from the rows of `owners_of_requesters`."""
    found = requesters_of(item) | frozenset(owners)
    setattr(item, _HIDDEN, found)
    return found


def may_read_all(item: WorkItem, *, ctx: ActingContext) -> bool:
    """Return True if the caller, who may read `item`, may read comments for deciders on it. At most one statement."""
    workflow_id = item.workflow_version.workflow_id
    may = any(ctx.allows(scope, workflow=workflow_id) for scope in (Scope.DECISIONS_DECIDE, Scope.TELEMETRY_READ))
    return may and (ctx.is_system or ctx.principal_id not in hidden_from(item))


def may_write_in(item: WorkItem, *, ctx: ActingContext) -> bool:
    """Return True if the caller, who may read `item`, may comment on it."""
    workflow_id = item.workflow_version.workflow_id
    return any(ctx.allows(scope, workflow=workflow_id) for scope in (Scope.WORKITEMS_WRITE, Scope.DECISIONS_DECIDE))


def check_may_write(item: WorkItem, audience: Audience, *, ctx: ActingContext) -> None:
    """Raise an error unless the caller, who may read `item`, may write for `audience` there.

    Raises `PermissionDenied`, and `ContentsRemoved` if retention has removed the contents of the item.
    """
    if not may_write_in(item, ctx=ctx):
        raise errors.PermissionDenied(
            f"Commenting needs workitems:write or decisions:decide on the workflow {item.workflow}."
        )
    require_contents(item)
    if audience is Audience.DECIDERS and not may_read_all(item, ctx=ctx):
        raise errors.PermissionDenied(
            "Only people who decide about this work item and did not request it write comments for deciders."
        )
