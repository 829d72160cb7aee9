"""Waits of a work item in a form for programs: the same facts as the sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from integrations.lifecycle import ExecutionStatus
from workitems.approvers.count_votes import Need
from workitems.explain.facts import ExecutionFacts, ExplainInput
from workitems.lifecycle import WORK_ITEM, WorkItemStatus


class WaitsFor(StrEnum):
    """Person or system that has to act next."""

    POLICIES = "policies"
    REQUESTER = "requester"
    PEOPLE = "people"
    FREEZE = "freeze"
    RETRY = "retry"
    EXECUTION = "execution"
    CALLBACK = "callback"
    RECONCILIATION = "reconciliation"
    ACTION = "action"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """One thing that is waited for. `needs`: missing votes of the decision step. `ends_at`: end without it."""

    waits_for: WaitsFor
    step_id: object = None
    needs: tuple[Need, ...] = ()
    execution: ExecutionFacts | None = None
    ends_at: datetime | None = None


def waits_of(case: ExplainInput) -> tuple[Wait, ...]:
    """Return what the case waits for; empty if it has ended."""
    return tuple(_waits(case)) if WORK_ITEM.is_open(case.status) else ()


def _waits(case: ExplainInput) -> Iterator[Wait]:
    if case.asked_by:
        yield Wait(waits_for=WaitsFor.REQUESTER, ends_at=case.paused_until)
    step, execution = case.step, case.execution
    if step:
        ends_at = None if case.paused_until else step.expires_at or step.respond_due_at
        yield Wait(
            waits_for=WaitsFor.PEOPLE, step_id=step.id, needs=tuple(step.needs), execution=execution, ends_at=ends_at
        )
    elif case.status is WorkItemStatus.NEW:
        yield Wait(waits_for=WaitsFor.POLICIES)
    elif case.status is WorkItemStatus.EXECUTING and execution:
        yield _of_execution(execution)
    elif case.status in (WorkItemStatus.READY, WorkItemStatus.FAILED):
        yield Wait(waits_for=WaitsFor.ACTION)


def _of_execution(execution: ExecutionFacts) -> Wait:
    if execution.status is ExecutionStatus.OUTCOME_UNKNOWN:
        return Wait(waits_for=WaitsFor.RECONCILIATION, execution=execution)
    if execution.frozen:
        return Wait(waits_for=WaitsFor.FREEZE, execution=execution)
    if execution.status is ExecutionStatus.RUNNING and execution.callback_due_at:
        return Wait(waits_for=WaitsFor.CALLBACK, execution=execution, ends_at=execution.callback_due_at)
    if execution.status is ExecutionStatus.STARTED and execution.failure:
        return Wait(waits_for=WaitsFor.RETRY, execution=execution, ends_at=execution.next_at)
    return Wait(waits_for=WaitsFor.EXECUTION, execution=execution)
