"""Edits, cancellation and resolution of work items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from integrations import selectors as integration_selectors
from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from policies.selectors import workflow_document
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.json.canonical import commitment, sha256_hex
from workitems.attachments.payload_files import complete_files, use_files
from workitems.items.intake import checked_payload, enqueue_intake_decision
from workitems.items.lookalikes import replace_lookalike_labels
from workitems.items.receipts import payload_inputs, record_item
from workitems.items.requester_questions import close_questions
from workitems.items.subjects import check_same_subject
from workitems.items.titles import DERIVED, derive_from_payload
from workitems.items.transitions import transition_execution, transition_item, transition_unless_undo
from workitems.lifecycle import WORK_ITEM, StepStatus, WorkItemStatus
from workitems.models import Attachment, WorkItem
from workitems.permits.units import return_unused_unit
from workitems.search.changes import note_change
from workitems.steps.opening_and_closing import close_pending_step


def edit_payload(item: WorkItem, payload: Any, *, ctx: ActingContext) -> None:
    """Replace the payload of an open, locked item, and restart its intake with status `new`.

    Pending steps are superseded, and an execution that has not started is cancelled. Nothing happens if the payload
    stays the same.
    """
    _check_may_change(item, WorkItemStatus.NEW, ctx=ctx)
    checked = checked_new_payload(item, payload, ctx=ctx)
    if sha256_hex(checked.canonical) == item.payload_sha256:
        return
    _free(item, StepStatus.SUPERSEDED, ctx=ctx)
    replace_payload(item, checked, ctx=ctx)
    enqueue_intake_decision(item)


@dataclass(frozen=True, slots=True)
class NewPayload:
    """Payload that the workflow of an item accepts, its canonical bytes, and the files that it adds."""

    value: Any
    canonical: bytes
    files: Sequence[Attachment]


def checked_new_payload(item: WorkItem, payload: Any, *, ctx: ActingContext) -> NewPayload:
    """Return a new payload for `item`, with complete files. Raise an error if its workflow rejects it."""
    document = workflow_document(item.workflow_version_id, ctx=ctx)
    completed, files = complete_files(payload, document.payload_schema, item=item, ctx=ctx)
    payload_bytes = checked_payload(completed, document)
    check_same_subject(item, completed, document)
    return NewPayload(completed, payload_bytes, files)


def replace_payload(item: WorkItem, new: NewPayload, *, ctx: ActingContext) -> None:
    """Replace the payload of an open, locked item by a checked one; increments the version."""
    item.payload = new.value
    use_files(new.files, item)
    document = workflow_document(item.workflow_version_id, ctx=ctx)
    derive_from_payload(item, document)
    replace_lookalike_labels(item, document)
    item.payload_sha256 = sha256_hex(new.canonical)
    item.version += 1
    item.edited_by_id = ctx.principal_id
    item.correlation_id = ctx.correlation_id
    changed = ("payload", *DERIVED, "payload_sha256", "version", "edited_by", "correlation_id")
    transition_item(item, WorkItemStatus.NEW, *changed)
    note_change(item.id, tenant_id=item.tenant_id)
    record_item("work_item.edited", item, ctx=ctx, inputs=payload_inputs(item), outcome={"status": item.status})


def cancel_work_item(item: WorkItem, *, ctx: ActingContext, reason: str = "") -> None:
    """Cancel an open, locked item."""
    _end(item, WorkItemStatus.CANCELLED, "work_item.cancelled", ctx=ctx, reason=reason)


def resolve_work_item(item: WorkItem, *, ctx: ActingContext, reason: str = "") -> None:
    """Resolve a locked item."""
    _end(item, WorkItemStatus.RESOLVED, "work_item.resolved", ctx=ctx, reason=reason)


def _end(item: WorkItem, status: WorkItemStatus, kind: str, *, ctx: ActingContext, reason: str) -> None:
    _check_may_change(item, status, ctx=ctx)
    _free(item, StepStatus.CANCELLED, ctx=ctx)
    if item.open_questions:
        close_questions(item, ctx=ctx)
    item.ended_by_id = ctx.principal_id
    item.ended_reason = reason
    transition_item(item, status, "ended_by", "ended_reason")
    record_item(
        kind,
        item,
        ctx=ctx,
        inputs={"reason_commitment": commitment(bytes(item.payload_salt), reason)},
        outcome={"status": item.status},
    )


def _check_may_change(item: WorkItem, status: WorkItemStatus, *, ctx: ActingContext) -> None:
    require_unit_of_work(ctx.tenant_id)
    if not ctx.allows(Scope.WORKITEMS_WRITE, workflow=item.workflow_version.workflow_id):
        raise errors.PermissionDenied(f"You do not hold workitems:write on the workflow {item.workflow}.")
    execution = integration_selectors.open_execution_of(item.id, tenant_id=item.tenant_id)
    if execution is not None and execution.status in (ExecutionStatus.RUNNING, ExecutionStatus.OUTCOME_UNKNOWN):
        raise errors.ExecutionInProgress(f"An execution is {execution.status}. Wait for it or reconcile it first.")
    if execution is not None and integration_selectors.may_have_acted(execution):
        raise errors.ExecutionInProgress("The receiver may have acted on an execution. Wait for its outcome first.")
    # An execution that has not started does not block the change: it is cancelled with it.
    current = WorkItemStatus(item.status)
    if current is WorkItemStatus.EXECUTING:
        current = WorkItemStatus.READY
    WORK_ITEM.check_transition(current, status)


def _free(item: WorkItem, step_status: StepStatus, *, ctx: ActingContext) -> None:
    """Close the pending step and cancel an execution that has not started."""
    execution = integration_selectors.open_execution_of(item.id, tenant_id=item.tenant_id)
    close_pending_step(item, step_status, ctx=ctx, execution=execution)
    if execution is not None:
        cancel_waiting(item, execution, ctx=ctx)


def cancel_waiting(item: WorkItem, execution: Execution, *, ctx: ActingContext) -> None:
    """Cancel a locked execution that has not started, and make its item ready."""
    transition_execution(execution, ExecutionStatus.CANCELLED)
    return_unused_unit(item, execution, ctx=ctx)
    transition_unless_undo(item, execution, WorkItemStatus.READY)
    record_item("execution.cancelled", item, ctx=ctx, execution=execution, outcome={"status": execution.status})
