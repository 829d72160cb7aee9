"""Sentences that explain a work item: reasons, pending approvers, deadline, next events, possible actions.

Pure: `workitems.explain.gather` supplies the facts. The sentences are part of the API, in English. Pages translate
them.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final, assert_never

from integrations.lifecycle import ExecutionStatus
from policies.language.approvals import Exclusion
from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.errors import REASONS
from threada_site.kernel.sentences import marked, sentence, sentence_list, sentence_of_number, stored_sentence
from workitems.approvers.count_votes import Need
from workitems.explain.execution_states import awaits_callback, execution_state, run_in_words
from workitems.explain.facts import (
    DecisionFacts,
    Effect,
    ExecutionFacts,
    ExplainInput,
    Explanation,
    Reader,
    StepFacts,
)
from workitems.explain.possible_operations import possible_operations
from workitems.lifecycle import WORK_ITEM, WorkItemStatus


def explain(case: ExplainInput) -> Explanation:
    """Return the explanation of one case."""
    return Explanation(
        why=[
            *_asked(case),
            *_why(case),
            *_permit(case),
            *_simulation(case),
            *_handed_on(case),
            *_undoing(case),
            *_ERASED.get(case.contents_erased, ()),
        ],
        waiting_for=_waiting_for(case),
        until=_until(case),
        next=_next(case),
        you_may=possible_operations(case),
        simulated=case.execution is not None and case.execution.simulated,
    )


_ERASED: Final = {
    "retention": (sentence("Retention has removed its contents; digests and receipts remain."),),
    "subject": (sentence("The data subject was erased, so the contents are no longer readable."),),
}


def _permit(case: ExplainInput) -> list[str]:
    if case.execution is None or case.execution.permit_id is None:
        return []
    about = {
        "run": run_in_words(case.execution),
        "permit": ids.public_id(ids.PERMIT, case.execution.permit_id),
    }
    if case.execution.status is ExecutionStatus.FAILED:
        return [sentence("{run} failed. It was approved by the permit {permit}.", **about)]
    if case.execution.status is ExecutionStatus.CANCELLED:
        return [sentence("{run} was cancelled. It was approved by the permit {permit}.", **about)]
    return [sentence("{run} is approved by the permit {permit}.", **about)]


def _simulation(case: ExplainInput) -> list[str]:
    if case.execution is None or not case.execution.simulated:
        return []
    if case.execution.status in (ExecutionStatus.AWAITING_APPROVAL, ExecutionStatus.STARTED, ExecutionStatus.RUNNING):
        return [sentence("{run} is simulated: nothing is sent.", run=run_in_words(case.execution))]
    return [sentence("{run} was simulated: nothing was sent.", run=run_in_words(case.execution))]


def _asked(case: ExplainInput) -> list[str]:
    if not case.asked_by:
        return []
    names = sentence_list(case.asked_by, " and ")
    asked = (
        sentence("{names} asked you a question that is not answered yet.", names=names)
        if case.reader.may_answer
        else sentence("{names} asked the requester a question that is not answered yet.", names=names)
    )
    if not case.paused_until:
        return [asked]
    until = rfc3339(case.paused_until)
    return [asked, sentence("The deadlines are paused until the answer, at most until {until}.", until=until)]


def _handed_on(case: ExplainInput) -> list[str]:
    return [sentence("{event}.", event=event) for event in case.step.history] if case.step else []


def _undoing(case: ExplainInput) -> list[str]:
    """Return the state of a running undo of a closed case."""
    if case.execution is None or not case.execution.undoes or WORK_ITEM.is_open(case.status):
        return []
    return [execution_state(case.execution)]


_EFFECTS: Final[dict[Effect, str]] = {
    "allow": marked("Policy {policy} allows it: {reason} (rule {rule})."),
    "review": marked("Policy {policy} requires a review: {reason} (rule {rule})."),
    "require_approval": marked("Policy {policy} requires an approval: {reason} (rule {rule})."),
    "deny": marked("Policy {policy} denies it: {reason} (rule {rule})."),
}

_EXCLUDED: Final[dict[Exclusion, str]] = {
    "requester": sentence("the requester"),
    "last_editor": sentence("the last editor"),
    "policy_author": sentence("the policy's author"),
    "agent_owner": sentence("the agent's owner"),
}


def _why(case: ExplainInput) -> list[str]:
    match case.status:
        case WorkItemStatus.NEW:
            return [sentence("It was received. The policies have not decided yet.")]
        case WorkItemStatus.IN_REVIEW | WorkItemStatus.AWAITING_APPROVAL:
            again = [stored_sentence(case.execution.detail)] if case.execution and case.execution.detail else []
            return [*_decided(case.decision), *again, *_progress(case.step, case.reader)]
        case WorkItemStatus.REFUSED | WorkItemStatus.READY:
            return _decided(case.decision)
        case WorkItemStatus.EXECUTING | WorkItemStatus.FAILED:
            return [execution_state(case.execution)] if case.execution else []
        case WorkItemStatus.REJECTED:
            return [_ended(sentence("It was rejected"), case)]
        case WorkItemStatus.EXPIRED:
            return [*_decided(case.decision), sentence("It was not decided in time.")]
        case WorkItemStatus.RESOLVED:
            run = case.execution
            if not case.ended_by and run and run.status is ExecutionStatus.SUCCEEDED and not run.undoes:
                return [sentence("{run} succeeded, which resolves it.", run=run_in_words(run))]
            return [_ended(sentence("It was resolved"), case)]
        case WorkItemStatus.CANCELLED:
            return [_ended(sentence("It was cancelled"), case)]
        case _ as never:
            assert_never(never)


def _decided(decision: DecisionFacts | None) -> list[str]:
    if decision is None:
        return []
    if decision.failure:
        reason = REASONS[decision.failure]
        title, advice = stored_sentence(reason.title), stored_sentence(reason.advice)
        return [sentence("{title}, so it was refused. {advice}", title=title, advice=advice)]
    template = _EFFECTS[decision.effect]
    return [sentence(template, policy=rule.policy, reason=rule.reason, rule=rule.rule) for rule in decision.matched]


def _progress(step: StepFacts | None, reader: Reader) -> list[str]:
    if step is None:
        return []
    total = step.approvals + sum(need.missing for need in step.needs)
    given = step.approvals
    said: list[str] = [
        sentence_of_number("{given} of {number} vote given.", "{given} of {number} votes given.", total, given=given)
    ]
    if step.stages > 1:
        said.append(sentence("Stage {stage} of {stages} is open.", stage=step.stage, stages=step.stages))
    if step.assignee:
        said.append(
            sentence("It is assigned to you.")
            if step.assignee == reader.name
            else sentence("It is assigned to {name}.", name=step.assignee)
        )
    if step.claimed_by:
        said.append(
            sentence("You have claimed it.")
            if reader.has_claimed
            else sentence("{name} has claimed it.", name=step.claimed_by)
        )
    if step.nobody_can_decide:
        said.append(sentence("No member can complete the {kind}.", kind=stored_sentence(step.kind)))
    if step.unowned:
        said.append(
            sentence(
                "Nobody is known to be independent of {names}: no active person is known as the owner.",
                names=sentence_list(step.unowned, " and "),
            )
        )
    return said


def _ended(ending: str, case: ExplainInput) -> str:
    by = sentence(" by {name}", name=sentence_list(case.ended_by, " and ")) if case.ended_by else ""
    if case.ended_by == (case.reader.name,):
        by = sentence(" by you")
    reason = f": {case.ended_reason}" if case.ended_reason else ""
    return sentence("{ending}{by}{reason}.", ending=ending, by=by, reason=reason)


def _waiting_for(case: ExplainInput) -> list[str]:
    if not case.asked_by:
        return _waiting_for_others(case)
    asked = (
        sentence("you, to answer a question")
        if case.reader.may_answer
        else sentence("the requester, who was asked a question")
    )
    return [asked, *_waiting_for_others(case)]


def _waiting_for_others(case: ExplainInput) -> list[str]:
    if case.step:
        others = excluded_in_words(case.step.exclude, reader_requested=case.reader.is_requester)
        needs = [_need(need) for need in case.step.needs]
        return [
            sentence("{people}, other than {others}", people=need, others=others) if others else need for need in needs
        ]
    if awaits_callback(case):
        return [sentence("the callback of {name}", name=case.execution.integration)] if case.execution else []
    if case.execution and case.execution.status is ExecutionStatus.OUTCOME_UNKNOWN:
        if case.reader.is_requester:
            return [sentence("a person other than you, who reconciles the execution")]
        return [sentence("a person other than the requester and the agent's owner, who reconciles the execution")]
    return []


def excluded_in_words(exclude: Collection[Exclusion], *, reader_requested: bool = False) -> str:
    """Return the people that a rule excludes, joined by commas and "or"; empty if it excludes nobody.

    With `reader_requested`, the requester is "yourself".
    """
    named = {**_EXCLUDED, "requester": sentence("yourself")} if reader_requested else _EXCLUDED
    *first, last = [words for name, words in named.items() if name in exclude] or [""]
    return sentence("{first} or {last}", first=sentence_list(first, ", "), last=last) if first else last


def _need(need: Need) -> str:
    people = sentence_of_number("{number} more person", "{number} more people", need.missing)
    name = need.leaf.name
    match need.leaf.kind:
        case "role":
            return sentence("{people} with role {name}", people=people, name=name)
        case "group":
            return sentence("{people} in group {name}", people=people, name=name)
        case "user":
            return name
        case "scope":
            return sentence("{people} with {name} on this workflow", people=people, name=name)
        case _ as never:
            assert_never(never)


def _until(case: ExplainInput) -> datetime | None:
    if case.paused_until:
        return case.paused_until
    if case.step:
        return case.step.expires_at or case.step.respond_due_at
    if case.execution and awaits_callback(case):
        return case.execution.callback_due_at
    return case.execution.next_at if case.execution and WORK_ITEM.is_open(case.status) else None


def _next(case: ExplainInput) -> list[str]:
    match case.status:
        case WorkItemStatus.NEW:
            return [sentence("The policies in force decide, usually within seconds.")]
        case WorkItemStatus.IN_REVIEW | WorkItemStatus.AWAITING_APPROVAL:
            return _next_of_step(case.step, case.execution, paused=case.paused_until is not None)
        case WorkItemStatus.READY:
            return [sentence("An action of its workflow can be executed, or it can be resolved.")]
        case WorkItemStatus.EXECUTING:
            if case.execution and case.execution.status is ExecutionStatus.OUTCOME_UNKNOWN:
                return [sentence("It does not change until the execution is reconciled as succeeded or failed.")]
            if case.execution and case.execution.frozen:
                return [sentence("It starts when the freeze is lifted.")]
            if awaits_callback(case):
                return [
                    sentence("The outcome is recorded when the receiver calls back, or when the time for it is over.")
                ]
            return [sentence("The outcome is recorded when the receiver answers.")]
        case WorkItemStatus.FAILED:
            if case.execution and not case.execution.repeatable:
                return [
                    sentence("The execution cannot be retried, because the receiver may have acted on it."),
                    sentence("An action can be executed, or the work item resolved or cancelled."),
                ]
            return [
                sentence(
                    "The execution can be retried, another action executed, or the work item resolved or cancelled."
                )
            ]
        case _:
            return [sentence("Nothing: {status} is final.", status=stored_sentence(case.status))]


def _next_of_step(step: StepFacts | None, execution: ExecutionFacts | None, *, paused: bool) -> list[str]:
    if step is None:
        return []
    waiting = execution if execution and execution.status is ExecutionStatus.AWAITING_APPROVAL else None
    said: list[str] = [
        sentence("With the last vote {run} starts.", run=run_in_words(waiting))
        if waiting
        else sentence("With the last vote it becomes ready.")
    ]
    if step.nobody_can_decide:
        kind = stored_sentence(step.kind)
        said = [sentence("Somebody needs the required role or group, or the {kind} cannot be completed.", kind=kind)]
        if step.unowned:
            said = [
                sentence(
                    "It goes on when a steward, or the operator with manage.py set_owner, names an owner of {names}.",
                    names=sentence_list(step.unowned, " and "),
                )
            ]
    if paused:
        return [*said, sentence("The deadlines continue with the answer.")]
    if step.remind_at:
        said.append(sentence("At {time} pending approvers are reminded.", time=rfc3339(step.remind_at)))
    if step.escalate_at and step.escalate_to:
        named = sentence_list(
            [sentence("{kind} {name}", kind=stored_sentence(leaf.kind), name=leaf.name) for leaf in step.escalate_to],
            " and ",
        )
        said.append(sentence("At {time} it is escalated to {names}.", time=rfc3339(step.escalate_at), names=named))
    if step.expires_at:
        said.append(
            sentence("Without a decision by then it is escalated.")
            if step.on_expiry == "escalate"
            else sentence("Without a decision by then it ends without approval.")
        )
    return said
