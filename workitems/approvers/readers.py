"""Members of a tenant who may read one work item."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable

from threada_site.kernel.context import Scope, Visibility
from threada_site.tenancy.members import Member
from workitems.models import Participant, WorkItem


def readers_among(
    item: WorkItem, members: Iterable[Member], *, hidden_from: Collection[uuid.UUID] = ()
) -> list[Member]:
    """Return those of `members` who may read `item`, as `workitems.selectors.work_items` decides.

    With `hidden_from`, the value of a comment for deciders, return those who may read the comment. Runs at most one
    statement.
    """
    people = list(members)
    named = {item.requester_id, item.submitted_by_id}
    if any(_sees_own_only(member) for member in people):
        rows = Participant.objects.filter(tenant_id=item.tenant_id, work_item_id=item.id)
        named |= set(rows.values_list("principal_id", flat=True))
    workflow_id = item.workflow_version.workflow_id
    readers = [member for member in people if _may_read(member, workflow_id, is_named=member.id in named)]
    return [member for member in readers if reads_for_deciders(member, item, hidden_from)] if hidden_from else readers


def reads_for_deciders(member: Member, item: WorkItem, hidden_from: Collection[uuid.UUID]) -> bool:
    """Return True if a reader of `item` may also read comments for deciders on it."""
    scopes = member.scopes_on(item.workflow_version.workflow_id)
    may = Scope.DECISIONS_DECIDE in scopes or Scope.TELEMETRY_READ in scopes
    return may and member.id not in hidden_from


def _sees_own_only(member: Member) -> bool:
    return member.permissions.visibility is Visibility.OWN


def _may_read(member: Member, workflow_id: uuid.UUID, *, is_named: bool) -> bool:
    permissions = member.permissions
    if Scope.WORKITEMS_READ in permissions.grants.workflows.get(workflow_id, frozenset()):
        return True
    return Scope.WORKITEMS_READ in permissions.scopes and (not _sees_own_only(member) or is_named)
