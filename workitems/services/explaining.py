"""Gathering what an explanation rests on; `workitems.explain` words it."""

from __future__ import annotations

from integrations import selectors as systems
from integrations.lifecycle import ExecutionStatus
from policies import selectors as rulebook
from policies.approvals import from_json
from policies.models import PolicyDecision
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.contents import is_erased
from workitems import selectors
from workitems.explain import (
    DecisionFacts,
    ExecutionFacts,
    ExplainInput,
    Explanation,
    MatchedRule,
    Reader,
    StepFacts,
    explain,
)
from workitems.lifecycle import StepKind, StepStatus, WorkItemStatus
from workitems.models import DecisionStep, Vote, WorkItem
from workitems.people import eligibility_on
from workitems.services.contents import erased_by
from workitems.services.voting import tally_step


def explain_work_item(item: WorkItem, *, ctx: ActingContext) -> Explanation:
    """Why the item is where it is, whom it waits for, until when, what happens next, and what the caller may do."""
    workflow_id = item.workflow_version.workflow_id
    step = DecisionStep.objects.filter(tenant_id=item.tenant_id, work_item=item, status=StepStatus.PENDING).first()
    execution = systems.last_execution_of(item.id, tenant_id=item.tenant_id)
    decision = rulebook.latest_decision(item.id, ctx=ctx)
    eligibility = None
    if step is not None:
        votes = selectors.votes_on(step)
        eligibility = eligibility_on(step, ctx=ctx, workflow_id=workflow_id, votes=votes)
    return explain(
        ExplainInput(
            status=WorkItemStatus(item.status),
            decision=_decision_facts(decision) if decision else None,
            step=_step_facts(step, item) if step else None,
            execution=ExecutionFacts(
                status=ExecutionStatus(execution.status),
                action=execution.action,
                integration=execution.integration,
                failure=execution.failure,
                next_at=execution.next_try_at,
            )
            if execution
            else None,
            ended_by=item.ended_by.username if item.ended_by else "",
            ended_reason="" if is_erased(item.ended_reason) else item.ended_reason,
            contents_erased=erased_by(item),
            reader=Reader(
                may_write=ctx.allows(Scope.WORKITEMS_WRITE, workflow=workflow_id),
                may_execute=ctx.allows(Scope.ACTIONS_EXECUTE, workflow=workflow_id),
                eligibility=eligibility,
                has_voted=step is not None
                and Vote.objects.filter(tenant_id=item.tenant_id, step=step, voter_id=ctx.principal_id).exists(),
            ),
        )
    )


def _decision_facts(decision: PolicyDecision) -> DecisionFacts:
    return DecisionFacts(
        effect=decision.outcome,  # type: ignore[arg-type]
        matched=tuple(MatchedRule(rule["policy"], rule["rule"], rule["reason"]) for rule in decision.matched),
        failure="" if decision.matched else next(iter(decision.reason_codes), ""),
    )


def _step_facts(step: DecisionStep, item: WorkItem) -> StepFacts:
    result = tally_step(step, workflow_id=item.workflow_version.workflow_id, everyone=True)
    rule = from_json(step.rule)
    return StepFacts(
        kind=StepKind(step.kind),
        approvals=len(result.counted),
        needs=result.waiting_for,
        nobody_can_decide=result.nobody_can_decide,
        exclude=tuple(rule.exclude),
        respond_by=step.respond_by,
        expires_at=step.expires_at,
        on_expiry=rule.on_expiry,
    )
