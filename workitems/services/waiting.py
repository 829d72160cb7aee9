"""Whom pending steps wait for, kept as rows, so that "what waits for me" is a look into an index."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from policies.approvals import ApprovalRule, Leaf, leaves_of
from workitems.awaited import keys_of_leaves
from workitems.models import AwaitedKey, DecisionStep, WorkItem


def awaited_rows(step: DecisionStep, rule: ApprovalRule, *, workflow_id: uuid.UUID) -> list[AwaitedKey]:
    """The unsaved rows of a step that opens."""
    return [
        AwaitedKey(tenant_id=step.tenant_id, step_id=step.id, key=key)
        for key in sorted(keys_of_leaves(leaves_of(rule.tree), workflow_id=workflow_id))
    ]


def wait_for_more(step: DecisionStep, added: Iterable[Leaf], *, workflow_id: uuid.UUID) -> None:
    """Let an open step wait for whoever stands at `added` too."""
    rows = [
        AwaitedKey(tenant_id=step.tenant_id, step_id=step.id, key=key)
        for key in sorted(keys_of_leaves(added, workflow_id=workflow_id))
    ]
    AwaitedKey.objects.bulk_create(rows, ignore_conflicts=True)


def stop_waiting(step: DecisionStep, *, item: WorkItem) -> None:
    """A step that closes waits for nobody, so nobody is missing either."""
    AwaitedKey.objects.filter(tenant_id=step.tenant_id, step_id=step.id).delete()
    if item.nobody_can_decide:
        item.nobody_can_decide = False
        item.save(update_fields=["nobody_can_decide"])
