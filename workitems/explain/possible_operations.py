"""Operations on a work item that its reader may use now. Pure."""

from __future__ import annotations

from integrations.lifecycle import ExecutionStatus
from threada_site.kernel.sentences import sentence
from workitems.approvers.count_votes import Eligibility
from workitems.explain.facts import ExplainInput
from workitems.lifecycle import WORK_ITEM, WorkItemStatus


def possible_operations(case: ExplainInput) -> list[str]:
    """Return what the reader may do now, as phrases after "You may"."""
    reader, execution = case.reader, case.execution
    status = execution.status if execution else None
    busy = status in (ExecutionStatus.RUNNING, ExecutionStatus.OUTCOME_UNKNOWN)
    step = case.step
    counts = bool(step) and reader.eligibility is Eligibility.COUNTS
    decides = counts and not reader.has_voted
    claimed = bool(step and step.claimed_by)
    possible = (
        (reader.may_answer and bool(case.asked_by), sentence("answer the question, or change the payload")),
        (decides, sentence("approve or reject it")),
        (
            bool(step) and reader.eligibility is Eligibility.NOT_INDEPENDENT and not reader.has_voted,
            sentence("reject it; your approval cannot count beside a vote of somebody your account depends on"),
        ),
        (decides, sentence("approve it with changes, which starts the decision again")),
        (decides and not claimed, sentence("claim it")),
        (reader.has_claimed, sentence("release it")),
        (bool(step) and reader.may_decide and (counts or reader.manages), sentence("reassign it")),
        (
            bool(step) and reader.may_decide and (reader.manages or bool(step and step.escalate_to)),
            sentence("escalate it"),
        ),
        (
            reader.may_execute
            and case.status in (WorkItemStatus.NEW, WorkItemStatus.READY, WorkItemStatus.FAILED)
            and not busy,
            sentence("execute an action"),
        ),
        (
            reader.may_execute
            and case.status is WorkItemStatus.FAILED
            and status is ExecutionStatus.FAILED
            and bool(execution and execution.repeatable),
            sentence("retry the execution"),
        ),
        (reader.may_reconcile and status is ExecutionStatus.OUTCOME_UNKNOWN, sentence("reconcile the execution")),
        (
            reader.may_write and WORK_ITEM.allows(case.status, WorkItemStatus.NEW) and not busy,
            sentence("change its payload, which starts the case again"),
        ),
        (
            reader.may_write and WORK_ITEM.allows(case.status, WorkItemStatus.RESOLVED) and not busy,
            sentence("resolve it"),
        ),
        (
            reader.may_write and WORK_ITEM.allows(case.status, WorkItemStatus.CANCELLED) and not busy,
            sentence("cancel it"),
        ),
    )
    return [operation for allowed, operation in possible if allowed]
