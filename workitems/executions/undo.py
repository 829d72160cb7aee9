"""Taking an action back: by the action that its own document names as its `undo`, governed like any other."""

from __future__ import annotations

import uuid
from typing import Any

from integrations.configuration import readable_action_of
from integrations.idempotency import receiver_key
from integrations.lifecycle import ExecutionStatus
from integrations.models import OPEN_EXECUTION_STATUSES, Execution
from threada_site.kernel import errors
from workitems.models import WorkItem

_UNDOES_ALREADY = [*OPEN_EXECUTION_STATUSES, ExecutionStatus.SUCCEEDED]


def undo_of(execution: Execution) -> str | None:
    """The action that takes a succeeded execution back; None where there is none, or it is being or has been undone."""
    if execution.status != ExecutionStatus.SUCCEEDED:
        return None
    undo = readable_action_of(execution).undo
    if undo is None or undoing_of(execution) is not None:
        return None
    return undo


def undoing_of(execution: Execution) -> Execution | None:
    """The execution that takes this one back, or is about to."""
    return Execution.objects.filter(
        tenant_id=execution.tenant_id, undoes_id=execution.id, status__in=_UNDOES_ALREADY
    ).first()


def execution_to_undo(
    item: WorkItem, integration: str, action: str, *, named: uuid.UUID | None = None
) -> Execution | None:
    """The newest execution on a locked item that `action` would take back; None when it is an action like any other.

    With `named` it is that one, or `ExecutionNotUndoable`.
    """
    candidates = (
        Execution.objects.filter(
            tenant_id=item.tenant_id, work_item_id=item.id, integration=integration, status=ExecutionStatus.SUCCEEDED
        )
        .select_related("integration_version")
        .order_by("-id")
    )
    if named is not None:
        candidates = candidates.filter(id=named)
    found = next((execution for execution in candidates if undo_of(execution) == action), None)
    if found is None and named is not None:
        raise errors.ExecutionNotUndoable
    return found


def undone_facts(execution: Execution) -> dict[str, Any]:
    """What the expressions of an undo read as `undoes`: the execution it takes back, or {}."""
    if execution.undoes_id is None:
        return {}
    undone = Execution.objects.filter(tenant_id=execution.tenant_id, id=execution.undoes_id).first()
    if undone is None:
        return {}
    return {
        "execution_id": undone.public_id,
        "action": undone.action,
        "idempotency_key": receiver_key(undone.id),
        "input": undone.input,
        "result": undone.result or {},
    }
