"""Sentences that explain a work item: reasons, pending approvers, deadline, next events, possible actions.

Pure: `workitems.explain.gather` supplies the facts. The sentences are part of the API.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final, assert_never

from integrations.lifecycle import ExecutionStatus
from policies.language.approvals import Exclusion
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.errors import REASONS
from workitems.approvers.count_votes import Eligibility, Need
from workitems.explain.facts import DecisionFacts, Effect, ExecutionFacts, ExplainInput, Explanation, StepFacts
from workitems.lifecycle import WORK_ITEM, WorkItemStatus


def explain(case: ExplainInput) -> Explanation:
    """Return the explanation of one case."""
    return Explanation(
        why=[
            *_asked(case),
            *_why(case),
            *_simulation(case),
            *_handed_on(case),
            *_undoing(case),
            *_ERASED.get(case.contents_erased, ()),
        ],
        waiting_for=_waiting_for(case),
        until=_until(case),
        next=_next(case),
        you_may=_you_may(case),
        simulated=case.execution is not None and case.execution.simulated,
    )


_ERASED: Final = {
    "retention": ("Retention has removed its contents; digests and receipts remain.",),
    "subject": ("The data subject was erased, so the contents are no longer readable.",),
}


def _simulation(case: ExplainInput) -> list[str]:
    if case.execution is None or not case.execution.simulated:
        return []
    if case.execution.status in (ExecutionStatus.AWAITING_APPROVAL, ExecutionStatus.STARTED, ExecutionStatus.RUNNING):
        return [f"{_run(case.execution)} is simulated: nothing is sent."]
    return [f"{_run(case.execution)} was simulated: nothing was sent."]


def _asked(case: ExplainInput) -> list[str]:
    if not case.asked_by:
        return []
    names = " and ".join(case.asked_by)
    sentences = [f"{names} asked the requester a question that is not answered yet."]
    if case.paused_until:
        sentences.append(f"The deadlines are paused until the answer, at most until {rfc3339(case.paused_until)}.")
    return sentences


def _handed_on(case: ExplainInput) -> list[str]:
    return [f"{sentence}." for sentence in case.step.history] if case.step else []


def _undoing(case: ExplainInput) -> list[str]:
    """Return the state of a running undo of a closed case."""
    if case.execution is None or not case.execution.undoes or WORK_ITEM.is_open(case.status):
        return []
    return [_execution_state(case.execution)]


_VERBS: Final[dict[Effect, str]] = {
    "allow": "allows it",
    "review": "requires a review",
    "require_approval": "requires an approval",
    "deny": "denies it",
}

_EXCLUDED: Final[dict[Exclusion, str]] = {
    "requester": "the requester",
    "last_editor": "the last editor",
    "policy_author": "the policy's author",
    "agent_owner": "the agent's owner",
}


def _why(case: ExplainInput) -> list[str]:
    match case.status:
        case WorkItemStatus.NEW:
            return ["It was received. The policies have not decided yet."]
        case WorkItemStatus.IN_REVIEW | WorkItemStatus.AWAITING_APPROVAL:
            again = [case.execution.detail] if case.execution and case.execution.detail else []
            return [*_decided(case.decision), *again, *_progress(case.step)]
        case WorkItemStatus.REFUSED | WorkItemStatus.READY:
            return _decided(case.decision)
        case WorkItemStatus.EXECUTING | WorkItemStatus.FAILED:
            return [_execution_state(case.execution)] if case.execution else []
        case WorkItemStatus.REJECTED:
            return [_ended("It was rejected", case)]
        case WorkItemStatus.EXPIRED:
            return [*_decided(case.decision), "It was not decided in time."]
        case WorkItemStatus.RESOLVED:
            run = case.execution
            if not case.ended_by and run and run.status is ExecutionStatus.SUCCEEDED and not run.undoes:
                return [f"{_run(run)} succeeded, which resolves it."]
            return [_ended("It was resolved", case)]
        case WorkItemStatus.CANCELLED:
            return [_ended("It was cancelled", case)]
        case _ as never:
            assert_never(never)


def _decided(decision: DecisionFacts | None) -> list[str]:
    if decision is None:
        return []
    if decision.failure:
        reason = REASONS[decision.failure]
        return [f"{reason.title}, so it was refused. {reason.advice}"]
    verb = _VERBS[decision.effect]
    return [f"Policy {rule.policy} {verb}: {rule.reason} (rule {rule.rule})." for rule in decision.matched]


def _progress(step: StepFacts | None) -> list[str]:
    if step is None:
        return []
    total = step.approvals + sum(need.missing for need in step.needs)
    sentences = [f"{step.approvals} of {total} {'vote' if total == 1 else 'votes'} given."]
    if step.stages > 1:
        sentences.append(f"Stage {step.stage} of {step.stages} is open.")
    if step.assignee:
        sentences.append(f"It is assigned to {step.assignee}.")
    if step.claimed_by:
        sentences.append(f"{step.claimed_by} has claimed it.")
    if step.nobody_can_decide:
        sentences.append(f"No member can complete the {step.kind}.")
    return sentences


def _execution_state(execution: ExecutionFacts) -> str:
    run = _run(execution)
    failure = f": {REASONS[execution.failure].title}" if execution.failure else ""
    match execution.status:
        case ExecutionStatus.AWAITING_APPROVAL:
            return f"{run} waits for an approval.{f' {execution.detail}' if execution.detail else ''}"
        case ExecutionStatus.STARTED if execution.frozen:
            return f"{run} is blocked by a freeze."
        case ExecutionStatus.STARTED if execution.failure:
            return f"{run} did not succeed yet{failure}. It will be retried."
        case ExecutionStatus.STARTED:
            return f"{run} is about to start."
        case ExecutionStatus.RUNNING:
            return f"{run} is running."
        case ExecutionStatus.OUTCOME_UNKNOWN:
            return f"{run} has an unknown outcome{failure}."
        case ExecutionStatus.FAILED:
            return f"{run} failed{failure}."
        case ExecutionStatus.SUCCEEDED | ExecutionStatus.REJECTED | ExecutionStatus.EXPIRED | ExecutionStatus.CANCELLED:
            return f"{run}: {execution.status}."
        case _ as never:
            assert_never(never)


def _run(execution: ExecutionFacts) -> str:
    return f"{execution.action} on {execution.integration}"


def _ended(sentence: str, case: ExplainInput) -> str:
    by = f" by {case.ended_by}" if case.ended_by else ""
    reason = f": {case.ended_reason}" if case.ended_reason else ""
    return f"{sentence}{by}{reason}."


def _waiting_for(case: ExplainInput) -> list[str]:
    asked = ["the requester, who was asked a question"] if case.asked_by else []
    return [*asked, *_waiting_for_others(case)]


def _waiting_for_others(case: ExplainInput) -> list[str]:
    if case.step:
        others = excluded_in_words(case.step.exclude)
        return [_need(need) + (f", other than {others}" if others else "") for need in case.step.needs]
    if _awaits_callback(case):
        return [f"the callback of {case.execution.integration}"] if case.execution else []
    if case.execution and case.execution.status is ExecutionStatus.OUTCOME_UNKNOWN:
        return ["a person other than the requester and the agent's owner, who reconciles the execution"]
    return []


def excluded_in_words(exclude: Collection[Exclusion]) -> str:
    """Return the people that a rule excludes, joined by commas and "or"; empty if it excludes nobody."""
    *first, last = [words for name, words in _EXCLUDED.items() if name in exclude] or [""]
    return f"{', '.join(first)} or {last}" if first else last


def _need(need: Need) -> str:
    people = "1 more person" if need.missing == 1 else f"{need.missing} more people"
    match need.leaf.kind:
        case "role":
            return f"{people} with role {need.leaf.name}"
        case "group":
            return f"{people} in group {need.leaf.name}"
        case "user":
            return need.leaf.name
        case "scope":
            return f"{people} with {need.leaf.name} on this workflow"
        case _ as never:
            assert_never(never)


def _until(case: ExplainInput) -> datetime | None:
    if case.paused_until:
        return case.paused_until
    if case.step:
        return case.step.expires_at or case.step.respond_due_at
    if case.execution and _awaits_callback(case):
        return case.execution.callback_due_at
    return case.execution.next_at if case.execution and WORK_ITEM.is_open(case.status) else None


def _awaits_callback(case: ExplainInput) -> bool:
    """Return True if the receiver has accepted the call and must call back."""
    run = case.execution
    if run is None or run.callback_due_at is None or run.status is not ExecutionStatus.RUNNING:
        return False
    return WORK_ITEM.is_open(case.status)


def _next(case: ExplainInput) -> list[str]:
    match case.status:
        case WorkItemStatus.NEW:
            return ["The policies in force decide, usually within seconds."]
        case WorkItemStatus.IN_REVIEW | WorkItemStatus.AWAITING_APPROVAL:
            return _next_of_step(case.step, case.execution, paused=case.paused_until is not None)
        case WorkItemStatus.READY:
            return ["An action of its workflow can be executed, or it can be resolved."]
        case WorkItemStatus.EXECUTING:
            if case.execution and case.execution.status is ExecutionStatus.OUTCOME_UNKNOWN:
                return ["It does not change until the execution is reconciled as succeeded or failed."]
            if case.execution and case.execution.frozen:
                return ["It starts when the freeze is lifted."]
            if _awaits_callback(case):
                return ["The outcome is recorded when the receiver calls back, or when the time for it is over."]
            return ["The outcome is recorded when the receiver answers."]
        case WorkItemStatus.FAILED:
            if case.execution and not case.execution.repeatable:
                return [
                    "The execution cannot be retried, because the receiver may have acted on it.",
                    "An action can be executed, or the work item resolved or cancelled.",
                ]
            return ["The execution can be retried, another action executed, or the work item resolved or cancelled."]
        case _:
            return [f"Nothing: {case.status} is final."]


def _next_of_step(step: StepFacts | None, execution: ExecutionFacts | None, *, paused: bool) -> list[str]:
    if step is None:
        return []
    waiting = execution if execution and execution.status is ExecutionStatus.AWAITING_APPROVAL else None
    sentences = [f"With the last vote {_run(waiting)} starts." if waiting else "With the last vote it becomes ready."]
    if step.nobody_can_decide:
        sentences = [f"Somebody needs the required role or group, or the {step.kind} cannot be completed."]
    if paused:
        return [*sentences, "The deadlines continue with the answer."]
    if step.remind_at:
        sentences.append(f"At {rfc3339(step.remind_at)} pending approvers are reminded.")
    if step.escalate_at and step.escalate_to:
        named = " and ".join(f"{leaf.kind} {leaf.name}" for leaf in step.escalate_to)
        sentences.append(f"At {rfc3339(step.escalate_at)} it is escalated to {named}.")
    if step.expires_at:
        then = "it is escalated" if step.on_expiry == "escalate" else "it ends without approval"
        sentences.append(f"Without a decision by then {then}.")
    return sentences


def _you_may(case: ExplainInput) -> list[str]:
    reader, execution = case.reader, case.execution
    status = execution.status if execution else None
    busy = status in (ExecutionStatus.RUNNING, ExecutionStatus.OUTCOME_UNKNOWN)
    step = case.step
    counts = bool(step) and reader.eligibility is Eligibility.COUNTS
    decides = counts and not reader.has_voted
    claimed = bool(step and step.claimed_by)
    possible = (
        (reader.may_answer and bool(case.asked_by), "answer the question, or change the payload"),
        (decides, "approve or reject it"),
        (
            bool(step) and reader.eligibility is Eligibility.NOT_INDEPENDENT and not reader.has_voted,
            "reject it; your approval cannot count beside a vote of somebody your account depends on",
        ),
        (decides, "approve it with changes, which starts the decision again"),
        (decides and not claimed, "claim it"),
        (reader.has_claimed, "release it"),
        (bool(step) and reader.may_decide and (counts or reader.manages), "reassign it"),
        (bool(step) and reader.may_decide and (reader.manages or bool(step and step.escalate_to)), "escalate it"),
        (
            reader.may_execute
            and case.status in (WorkItemStatus.NEW, WorkItemStatus.READY, WorkItemStatus.FAILED)
            and not busy,
            "execute an action",
        ),
        (
            reader.may_execute
            and case.status is WorkItemStatus.FAILED
            and status is ExecutionStatus.FAILED
            and bool(execution and execution.repeatable),
            "retry the execution",
        ),
        (reader.may_reconcile and status is ExecutionStatus.OUTCOME_UNKNOWN, "reconcile the execution"),
        (
            reader.may_write and WORK_ITEM.allows(case.status, WorkItemStatus.NEW) and not busy,
            "change its payload, which starts the case again",
        ),
        (reader.may_write and WORK_ITEM.allows(case.status, WorkItemStatus.RESOLVED) and not busy, "resolve it"),
        (reader.may_write and WORK_ITEM.allows(case.status, WorkItemStatus.CANCELLED) and not busy, "cancel it"),
    )
    return [operation for allowed, operation in possible if allowed]
