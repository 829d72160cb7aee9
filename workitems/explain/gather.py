"""Facts for an explanation. `workitems.explain.wording` turns them into sentences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from integrations import selectors as integration_selectors
from integrations.freezes.block import freeze_on, freezes_in_force, place_of_execution
from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution, Freeze
from policies import selectors as policy_selectors
from policies.models import PolicyDecision
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, Scope
from threada_site.personal_data.erasable_fields import is_erased
from workitems import selectors
from workitems.approvers.active_members import escalation_leaves
from workitems.approvers.step_votes import StepVotes, read_step_votes
from workitems.approvers.unowned import names_without_owner
from workitems.conversation.questions import may_answer
from workitems.explain.facts import (
    DecisionFacts,
    ExecutionFacts,
    ExplainInput,
    Explanation,
    MatchedRule,
    Reader,
    StepFacts,
)
from workitems.explain.history import history_of
from workitems.explain.waits import Wait, waits_of
from workitems.explain.wording import explain
from workitems.items.erasable_fields import erased_by
from workitems.items.participants import had_no_part
from workitems.items.requester_questions import open_questions, waits_for_requester
from workitems.lifecycle import StepKind, StepStatus, WorkItemStatus
from workitems.models import DecisionStep, Vote, WorkItem
from workitems.steps.pauses import is_paused


def _is_frozen(execution: Execution, freezes: Iterable[Freeze] | None) -> bool:
    """Return True if a freeze in force keeps an execution from being sent. `freezes` are those in force, if read."""
    if execution.status != ExecutionStatus.STARTED:
        return False
    freezes = freezes_in_force(execution.tenant_id) if freezes is None else freezes
    return freeze_on(freezes, place_of_execution(execution)) is not None


@dataclass(frozen=True, slots=True)
class Newest:
    """Rows about a work item: its pending step, newest execution and newest decision.

    A page that has read them also gives the votes on the pending step and the freezes in force.
    """

    step: DecisionStep | None
    execution: Execution | None
    decision: PolicyDecision | None
    votes: Iterable[Vote] | None = None
    freezes: Iterable[Freeze] | None = None


def explain_work_item(item: WorkItem, *, ctx: ActingContext, newest: Newest | None = None) -> Explanation:
    """Return the explanation of a work item for the caller, in sentences."""
    return explain(explain_input(item, ctx=ctx, newest=newest))


def explanation_with_waits(item: WorkItem, *, ctx: ActingContext) -> tuple[Explanation, tuple[Wait, ...]]:
    """Return the explanation of a work item for the caller, in sentences and for programs."""
    case = explain_input(item, ctx=ctx)
    return explain(case), waits_of(case)


def _newest(item: WorkItem, *, ctx: ActingContext) -> Newest:
    pending = DecisionStep.objects.filter(tenant_id=item.tenant_id, work_item=item, status=StepStatus.PENDING)
    return Newest(
        pending.select_related("claimed_by", "assignee").first(),
        integration_selectors.last_execution_of(item.id, tenant_id=item.tenant_id),
        policy_selectors.latest_decision(item.id, ctx=ctx),
    )


def explain_input(item: WorkItem, *, ctx: ActingContext, newest: Newest | None = None) -> ExplainInput:
    """Return the facts of an explanation for the caller."""
    workflow_id = item.workflow_version.workflow_id
    newest = newest or _newest(item, ctx=ctx)
    step, execution, decision = newest.step, newest.execution, newest.decision
    votes = read_step_votes(step, newest.votes, workflow_id=workflow_id) if step else None
    eligibility = votes.eligibility_of(ctx) if votes else None
    ended_by, ended_reason = _end_of(item)
    return ExplainInput(
        status=WorkItemStatus(item.status),
        decision=_decision_facts(decision) if decision else None,
        step=_step_facts(step, votes) if step and votes else None,
        execution=ExecutionFacts(
            status=ExecutionStatus(execution.status),
            action=execution.action,
            integration=execution.integration,
            failure=execution.failure,
            next_at=execution.next_try_at,
            frozen=_is_frozen(execution, newest.freezes),
            undoes=execution.undoes_id is not None,
            repeatable=execution.is_repeatable,
            simulated=execution.is_simulated,
            id=execution.id,
            callback_due_at=execution.waiting_until,
            permit_id=execution.permit_id,
            detail=execution.failure_detail if execution.status == ExecutionStatus.AWAITING_APPROVAL else "",
        )
        if execution
        else None,
        ended_by=ended_by,
        ended_reason=ended_reason,
        contents_erased=erased_by(item),
        asked_by=_asked_by(item),
        paused_until=step.pause_ends_at if step and is_paused(step, now=clock.now()) else None,
        reader=Reader(
            name=ctx.principal_name,
            is_requester=ctx.principal_id == item.requester_id,
            may_answer=waits_for_requester(item) and may_answer(item, ctx=ctx),
            may_write=ctx.allows(Scope.WORKITEMS_WRITE, workflow=workflow_id),
            may_execute=ctx.allows(Scope.ACTIONS_EXECUTE, workflow=workflow_id),
            may_reconcile=execution is not None
            and execution.status == ExecutionStatus.OUTCOME_UNKNOWN
            and ctx.allows(Scope.ACTIONS_EXECUTE, workflow=workflow_id)
            and had_no_part(item, execution, ctx=ctx),
            may_decide=ctx.allows(Scope.DECISIONS_DECIDE, workflow=workflow_id),
            manages=ctx.allows(Scope.WORKFLOW_MANAGE, workflow=workflow_id),
            eligibility=eligibility,
            has_voted=votes is not None and ctx.principal_id in votes.voters,
            has_claimed=step is not None and step.claimant_at(clock.now()) == ctx.principal_id,
        ),
    )


def _asked_by(item: WorkItem) -> tuple[str, ...]:
    """Return the names of people whose questions to the requester are open. Runs no statement if there are none."""
    if not waits_for_requester(item):
        return ()
    names = open_questions(item).values_list("asked_by__username", flat=True)
    return tuple(dict.fromkeys(names))


def _end_of(item: WorkItem) -> tuple[tuple[str, ...], str]:
    """Return who closed the case and the stated reason; for a rejection, the rejecting voters and reason codes."""
    if item.status != WorkItemStatus.REJECTED:
        who = (item.ended_by.username,) if item.ended_by else ()
        return who, "" if is_erased(item.ended_reason) else item.ended_reason
    votes = selectors.rejections_of(item)
    names = tuple(vote.voter.username for vote in votes)
    return names, ", ".join(dict.fromkeys(vote.reason_code for vote in votes if vote.reason_code))


def _decision_facts(decision: PolicyDecision) -> DecisionFacts:
    return DecisionFacts(
        effect=decision.outcome,  # type: ignore[arg-type]
        matched=tuple(MatchedRule(rule["policy"], rule["rule"], rule["reason"]) for rule in decision.matched),
        failure="" if decision.matched else next(iter(decision.reason_codes), ""),
    )


def _step_facts(step: DecisionStep, votes: StepVotes) -> StepFacts:
    rule, result = votes.rule, votes.result
    is_claimed = step.claimed_by is not None and step.claimant_at(clock.now()) is not None
    return StepFacts(
        id=step.id,
        kind=StepKind(step.kind),
        approvals=len(result.counted),
        needs=result.waiting_for,
        nobody_can_decide=result.nobody_can_decide,
        unowned=names_without_owner(votes),
        stage=result.stage,
        stages=result.stages,
        exclude=tuple(rule.exclude),
        claimed_by=step.claimed_by.username if is_claimed and step.claimed_by else "",
        assignee=step.assignee.username if step.assignee else "",
        history=tuple(event.sentence for event in history_of(step)),
        remind_at=step.remind_at,
        escalate_at=step.escalate_at,
        escalate_to=tuple(leaf for leaf in rule.escalate_to if leaf not in escalation_leaves(step.escalated_to)),
        respond_due_at=step.respond_due_at,
        expires_at=step.expires_at,
        on_expiry=rule.on_expiry,
    )
