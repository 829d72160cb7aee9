"""Time at which the undo of a succeeded execution is due, stored in the transaction that settles the execution."""

from __future__ import annotations

from datetime import timedelta

from integrations.attempts.failures import TransportFailure
from integrations.documents import ActionDocument
from integrations.documents.fields import as_seconds
from integrations.executions.envelope import open_envelope
from integrations.models import Execution
from threada_site.database.batched_writes import update_row
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from workitems.items.receipts import record_item
from workitems.models import WorkItem


def note_undo(item: WorkItem, execution: Execution, action: ActionDocument, *, ctx: ActingContext) -> None:
    """Store when the undo of a succeeded, locked execution is due, and that the execution it undoes is undone.

    The time is the one in the envelope, which people approved. If the envelope cannot be read, the undo is due at once.
    Receipt `execution.undo_scheduled`.
    """
    if execution.undoes_id is not None:
        undone = Execution.objects.filter(
            tenant_id=execution.tenant_id, id=execution.undoes_id, undo_due_at__isnull=False
        )
        undone.update(undo_due_at=None, undo_next_try_at=None, undo_problem="")
    if action.undo_after is None:
        return
    execution.undo_due_at = execution.undo_next_try_at = clock.now() + timedelta(seconds=_seconds(execution))
    update_row(execution, "undo_due_at", "undo_next_try_at")
    record_item(
        "execution.undo_scheduled",
        item,
        ctx=ctx,
        execution=execution,
        outcome={"undo": action.undo, "undo_due_at": clock.rfc3339(execution.undo_due_at)},
    )


def _seconds(execution: Execution) -> float:
    """Return the delay in the envelope of an execution, in seconds."""
    try:
        fields = open_envelope(bytes(execution.envelope.body), execution.envelope.sha256)
    except TransportFailure:
        return 0.0
    return as_seconds(str((fields["action"].get("undo_after") or {}).get("after", "")))
