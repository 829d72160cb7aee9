"""Undo of an execution, by the action that its own document names as `undo`, with policies and approvals as usual."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from integrations.configuration.parsed_documents import readable_action_of
from integrations.executions.receiver_key import receiver_key
from integrations.lifecycle import ExecutionStatus
from integrations.models import OPEN_EXECUTION_STATUSES, Execution
from threada_site.kernel import errors

_UNDOES_ALREADY = [*OPEN_EXECUTION_STATUSES, ExecutionStatus.SUCCEEDED]


def undo_of(execution: Execution) -> str | None:
    """Return the action that undoes a succeeded execution. None if there is none, or if it was or is being undone."""
    if execution.status != ExecutionStatus.SUCCEEDED:
        return None
    undo = readable_action_of(execution).undo
    if undo is None or undoing_of(execution) is not None:
        return None
    return undo


def undoing_of(execution: Execution) -> Execution | None:
    """Return the open or succeeded execution that undoes this one, or None."""
    return Execution.objects.filter(
        tenant_id=execution.tenant_id, undoes_id=execution.id, status__in=_UNDOES_ALREADY
    ).first()


def execution_to_undo(
    executions: Iterable[Execution], action: str, *, named: uuid.UUID | None = None
) -> Execution | None:
    """Return the first of `executions` that `action` undoes. None if it undoes nothing.

    With `named`, return that execution or raise `ExecutionNotUndoable`.
    """
    candidates = (execution for execution in executions if named in (None, execution.id))
    found = next((execution for execution in candidates if undo_of(execution) == action), None)
    if found is None and named is not None:
        raise errors.ExecutionNotUndoable
    return found


def check_same_reality(undone: Execution | None, *, is_simulated: bool) -> None:
    """Raise `ExecutionNotUndoable` if a simulated action would undo a real one, or the other way round."""
    if undone is not None and undone.is_simulated != is_simulated:
        kind = (
            ("a simulated execution", "a real action")
            if undone.is_simulated
            else ("an execution", "a simulated action")
        )
        raise errors.ExecutionNotUndoable(f"{undone.public_id} is {kind[0]}: {kind[1]} cannot undo it.")


def undone_execution(execution: Execution) -> Execution | None:
    """Return the execution that `execution` undoes, or None."""
    if execution.undoes_id is None:
        return None
    return Execution.objects.filter(tenant_id=execution.tenant_id, id=execution.undoes_id).first()


def undone_facts(execution: Execution) -> dict[str, Any]:
    """Return the facts about the execution to undo, for `undoes` in expressions. Empty if there is none."""
    undone = undone_execution(execution)
    if undone is None:
        return {}
    return {
        "execution_id": undone.public_id,
        "action": undone.action,
        "idempotency_key": receiver_key(undone.id),
        "input": undone.input,
        "result": undone.result or {},
    }
