"""Sentences about the open or last execution of a work item. Pure."""

from __future__ import annotations

from typing import assert_never

from integrations.lifecycle import ExecutionStatus
from threada_site.kernel.errors import REASONS
from threada_site.kernel.sentences import sentence, stored_sentence
from workitems.explain.facts import ExecutionFacts, ExplainInput
from workitems.lifecycle import WORK_ITEM


def execution_state(execution: ExecutionFacts) -> str:
    """Return the state of an execution in a sentence."""
    run = run_in_words(execution)
    failure = _failure(execution)
    match execution.status:
        case ExecutionStatus.AWAITING_APPROVAL if execution.detail:
            detail = stored_sentence(execution.detail)
            return sentence("{run} waits for an approval. {detail}", run=run, detail=detail)
        case ExecutionStatus.AWAITING_APPROVAL:
            return sentence("{run} waits for an approval.", run=run)
        case ExecutionStatus.STARTED if execution.frozen:
            return sentence("{run} is blocked by a freeze.", run=run)
        case ExecutionStatus.STARTED if execution.failure:
            return sentence("{run} did not succeed yet{failure}. It will be retried.", run=run, failure=failure)
        case ExecutionStatus.STARTED:
            return sentence("{run} is about to start.", run=run)
        case ExecutionStatus.RUNNING:
            return sentence("{run} is running.", run=run)
        case ExecutionStatus.OUTCOME_UNKNOWN:
            return sentence("{run} has an unknown outcome{failure}.", run=run, failure=failure)
        case ExecutionStatus.FAILED:
            return sentence("{run} failed{failure}.", run=run, failure=failure)
        case ExecutionStatus.SUCCEEDED | ExecutionStatus.REJECTED | ExecutionStatus.EXPIRED | ExecutionStatus.CANCELLED:
            return sentence("{run}: {status}.", run=run, status=stored_sentence(execution.status))
        case _ as never:
            assert_never(never)


def _failure(execution: ExecutionFacts) -> str:
    """Return a colon and the title of the failure, or an empty text."""
    if not execution.failure:
        return ""
    return sentence(": {title}", title=stored_sentence(REASONS[execution.failure].title))


def run_in_words(execution: ExecutionFacts) -> str:
    """Return action and integration of an execution."""
    return sentence("{action} on {integration}", action=execution.action, integration=execution.integration)


def awaits_callback(case: ExplainInput) -> bool:
    """Return True if the receiver has accepted the call and must call back."""
    run = case.execution
    if run is None or run.callback_due_at is None or run.status is not ExecutionStatus.RUNNING:
        return False
    return WORK_ITEM.is_open(case.status)
