"""Rows with the pending approvers of each step, so that "waiting for me" is one index lookup."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Final

from policies.language.approvals import ApprovalRule, Leaf, Opened, from_json, tracks
from threada_site.database.batched_writes import Statement, insert_rows, run_statement, update_row
from workitems.approvers.active_members import escalation_leaves
from workitems.approvers.approver_keys import keys_of_leaves
from workitems.approvers.count_votes import asked_leaves
from workitems.models import DecisionStep, PendingApproverKey, WorkItem

_CLEAR: Final = "DELETE FROM workitems_pendingapproverkey WHERE tenant_id = %s::uuid AND step_id = %s::uuid RETURNING 1"


def insert_pending_approvers(step: DecisionStep, rule: ApprovalRule, *, workflow_id: uuid.UUID) -> None:
    """Insert the pending approvers of a new step, for its first stage."""
    add_pending_approvers(step, asked_leaves(rule.tree, (1,) * len(tracks(rule.tree))), workflow_id=workflow_id)


def refresh_pending_approvers(step: DecisionStep, opened: Opened, *, workflow_id: uuid.UUID) -> None:
    """Replace the pending approvers of a locked step by those of its open stages and its escalation."""
    leaves = (*asked_leaves(from_json(step.rule).tree, opened), *escalation_leaves(step.escalated_to))
    rows = _rows(step, leaves, workflow_id=workflow_id)
    waits = PendingApproverKey.objects.filter(tenant_id=step.tenant_id, step_id=step.id)
    if set(waits.values_list("key", flat=True)) == {row.key for row in rows}:
        return
    waits.exclude(key__in=[row.key for row in rows]).delete()
    insert_rows(*rows, ignore_conflicts=True)


def add_pending_approvers(step: DecisionStep, added: Iterable[Leaf], *, workflow_id: uuid.UUID) -> None:
    """Add the approvers that match `added` to an open step."""
    insert_rows(*_rows(step, added, workflow_id=workflow_id), ignore_conflicts=True)


def clear_pending_approvers(step: DecisionStep, *, item: WorkItem) -> None:
    """Delete the pending approvers of a closed step, and reset `nobody_can_decide` of its item."""
    run_statement(Statement(_CLEAR, (step.tenant_id, step.id)))
    if item.nobody_can_decide:
        item.nobody_can_decide = False
        update_row(item, "nobody_can_decide")


def _rows(step: DecisionStep, leaves: Iterable[Leaf], *, workflow_id: uuid.UUID) -> list[PendingApproverKey]:
    return [
        PendingApproverKey(tenant_id=step.tenant_id, step_id=step.id, key=key)
        for key in sorted(keys_of_leaves(leaves, workflow_id=workflow_id))
    ]
