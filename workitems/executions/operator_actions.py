"""Operator actions on executions: cancel, retry, and reconcile an unknown outcome."""

from __future__ import annotations

from integrations import selectors as integration_selectors
from integrations.configuration.parsed_documents import action_of
from integrations.executions.dispatch import dispatch
from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.json.canonical import commitment
from workitems.executions.close_item import cancel_waiting
from workitems.executions.undo_due import note_undo
from workitems.items.participants import check_had_no_part
from workitems.items.receipts import record_item
from workitems.items.transitions import transition_execution, transition_unless_undo
from workitems.lifecycle import WORK_ITEM, StepStatus, WorkItemStatus
from workitems.models import WorkItem
from workitems.permits.units import return_unit
from workitems.steps.opening_and_closing import close_pending_step


def cancel_execution(item: WorkItem, execution: Execution, *, ctx: ActingContext) -> None:
    """Cancel a locked execution that has not started, together with its approval step."""
    _check_may_execute(item, ctx=ctx)
    if execution.status not in (ExecutionStatus.AWAITING_APPROVAL, ExecutionStatus.STARTED):
        raise errors.ExecutionNotCancellable(f"An execution that is {execution.status} can no longer be cancelled.")
    if integration_selectors.may_have_acted(execution):
        raise errors.ExecutionNotCancellable("The receiver may have acted on it already. Wait for the outcome.")
    close_pending_step(item, StepStatus.CANCELLED, ctx=ctx, execution=execution)
    cancel_waiting(item, execution, ctx=ctx)


def retry_execution(item: WorkItem, execution: Execution, *, ctx: ActingContext) -> None:
    """Retry a failed execution with its envelope and approval. The re-check before the call applies."""
    _check_may_execute(item, ctx=ctx)
    if execution.status != ExecutionStatus.FAILED:
        raise errors.ExecutionNotRetryable(f"Only a failed execution can be retried; this one is {execution.status}.")
    if not execution.is_repeatable:
        raise errors.ExecutionNotRetryable(
            "The receiver may have acted on it, and it does not recognize repeated calls. Request a new execution with "
            "/actions/execute, about which the policies decide again."
        )
    if not execution.attempts_made:
        raise errors.ExecutionNotRetryable("It was refused before anybody approved it. Execute the action again.")
    if not is_last(execution):
        raise errors.ExecutionNotRetryable("Another execution has followed it. Execute the action again.")
    if WORK_ITEM.is_open(WorkItemStatus(item.status)):
        if item.status != WorkItemStatus.FAILED:
            raise errors.ExecutionNotRetryable("The work item has moved on. Execute the action again.")
    elif execution.undoes_id is None:
        raise errors.ExecutionNotRetryable(f"The work item is {item.status}; nothing runs on it any more.")
    execution.attempts_before = execution.attempts_made
    execution.worker_deaths = 0
    execution.tries_began_at = execution.dispatched_at = None
    execution.finished_at = None
    transition_execution(
        execution,
        ExecutionStatus.STARTED,
        "attempts_before",
        "worker_deaths",
        "tries_began_at",
        "dispatched_at",
        "finished_at",
    )
    transition_unless_undo(item, execution, WorkItemStatus.EXECUTING)
    record_item("execution.retried", item, ctx=ctx, execution=execution, outcome={"status": execution.status})
    dispatch(execution.tenant_id, execution.id)


def reconcile_execution(
    item: WorkItem, execution: Execution, *, succeeded: bool, reason: str, ctx: ActingContext
) -> None:
    """Record the outcome of an execution with status `outcome_unknown`. Does not run it again.

    Only a person may, who neither requested it nor owns the agent or service that did. Raises `PersonRequired`,
    `SecondPersonRequired`, `ExecutionNotReconcilable`.
    """
    _check_may_execute(item, ctx=ctx)
    check_had_no_part(item, execution, ctx=ctx)
    if execution.status != ExecutionStatus.OUTCOME_UNKNOWN:
        raise errors.ExecutionNotReconcilable(
            f"Only an execution with an unknown outcome is reconciled; this one is {execution.status}."
        )
    execution.failure_detail = f"Reconciled: {reason}"
    transition_execution(
        execution, ExecutionStatus.SUCCEEDED if succeeded else ExecutionStatus.FAILED, "failure_detail"
    )
    if not succeeded:
        return_unit(item, execution, ctx=ctx)
        transition_unless_undo(item, execution, WorkItemStatus.FAILED)
    else:
        action = action_of(execution)
        note_undo(item, execution, action, ctx=ctx)
        transition_unless_undo(item, execution, WorkItemStatus.RESOLVED if action.resolves else WorkItemStatus.READY)
    record_item(
        "execution.reconciled",
        item,
        ctx=ctx,
        execution=execution,
        inputs={"reason_commitment": commitment(bytes(item.payload_salt), reason)},
        outcome={
            "status": execution.status,
            "work_item_status": item.status,
            **({"undoes": ids.public_id(ids.EXECUTION, execution.undoes_id)} if execution.undoes_id else {}),
        },
    )


def is_last(execution: Execution) -> bool:
    """Return True if the execution is the newest of its item."""
    newer = Execution.objects.filter(
        tenant_id=execution.tenant_id, work_item_id=execution.work_item_id, id__gt=execution.id
    )
    return not newer.exists()


def _check_may_execute(item: WorkItem, *, ctx: ActingContext) -> None:
    require_unit_of_work(ctx.tenant_id)
    if not ctx.allows(Scope.ACTIONS_EXECUTE, workflow=item.workflow_version.workflow_id):
        raise errors.PermissionDenied(f"You do not hold actions:execute on the workflow {item.workflow}.")
