"""Approvers whom a work item names because they see only their own work items otherwise."""

from __future__ import annotations

from collections.abc import Iterable

from threada_site.database.batched_writes import insert_rows
from threada_site.kernel.context import Visibility
from threada_site.tenancy.members import Member
from workitems.models import Participant, WorkItem


def add_participants(item: WorkItem, members: Iterable[Member]) -> None:
    """Make `item` visible to those of `members` that see only their own work items."""
    parties = {item.requester_id, item.submitted_by_id}
    rows = [
        Participant(tenant_id=item.tenant_id, work_item_id=item.id, principal_id=member.id)
        for member in members
        if member.permissions.visibility is Visibility.OWN and member.id not in parties
    ]
    if rows:
        insert_rows(*rows, ignore_conflicts=True)
