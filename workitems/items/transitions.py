"""State transitions: the only place that assigns the status of work items, executions and decision steps of a case."""

from __future__ import annotations

from typing import Final

from integrations.lifecycle import EXECUTION, ExecutionStatus
from integrations.models import Execution
from threada_site.database.batched_writes import update_row
from threada_site.jobs.enqueue import enqueue
from threada_site.kernel import clock
from workitems.lifecycle import DECISION_STEP, WORK_ITEM, StepStatus, WorkItemStatus
from workitems.models import DecisionStep, WorkItem

START_REQUEST: Final = "workitems.start_request"
"""Task that starts the declared action of a request about which people have decided."""


def transition_item(item: WorkItem, status: WorkItemStatus, *also: str) -> None:
    """Change the status of a locked work item and save it; `also` names further changed fields.

    Raises `TransitionNotAllowed` if the lifecycle does not allow the transition.
    """
    WORK_ITEM.check_transition(WorkItemStatus(item.status), status)
    item.status = status
    item.updated_at = clock.now()
    update_row(item, "status", "updated_at", *also)
    if status is WorkItemStatus.READY and item.starts_when_ready:
        enqueue(START_REQUEST, tenant_id=item.tenant_id, work_item_id=str(item.id))


def transition_unless_undo(item: WorkItem, execution: Execution | None, status: WorkItemStatus, *also: str) -> None:
    """Change the status of a locked work item according to its execution.

    An ended item keeps its status, because only an undo runs on it.
    """
    if execution is None or execution.undoes_id is None or WORK_ITEM.is_open(WorkItemStatus(item.status)):
        transition_item(item, status, *also)
    elif also:
        item.save(update_fields=[*also])


def transition_execution(execution: Execution, status: ExecutionStatus, *also: str) -> None:
    """Change the status of a locked execution and save it; sets `finished_at` at the end."""
    EXECUTION.check_transition(ExecutionStatus(execution.status), status)
    execution.status = status
    fields = ["status", *also]
    if not EXECUTION.is_open(status):
        execution.finished_at = clock.now()
        execution.lease_until = None
        execution.next_try_at = None
        fields += ["finished_at", "lease_until", "next_try_at"]
    update_row(execution, *fields)


def transition_step(step: DecisionStep, status: StepStatus) -> None:
    """Close a locked decision step."""
    DECISION_STEP.check_transition(StepStatus(step.status), status)
    step.status = status
    step.closed_at = clock.now()
    update_row(step, "status", "closed_at")
