"""Steps of one synthetic case: ask for an action, vote on its step, run its execution up to the call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from integrations.models import Execution
from policies.language.approvals import Leaf, from_json, leaves_of
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Tenant
from workitems import selectors
from workitems.executions.request_action import ActionRequest, execute_action
from workitems.executions.run_execution import begin_execution
from workitems.executions.running.calling import ExecutionPlan
from workitems.items.intake import IntakeRequest, create_work_item
from workitems.items.locks import locked_item
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, WorkItem
from workitems.proof.samples import Sample
from workitems.proof.stage import Case
from workitems.steps.voting import Ballot, cast_vote

type Outcome = Literal["allowed", "denied", "asked"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A requested action: what the policies answered, and the rows."""

    outcome: Outcome
    item: WorkItem
    execution: Execution | None = None
    step: DecisionStep | None = None

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """Roles, groups and people that the rule of the step asks for."""
        return leaves_of(from_json(self.step.rule).tree) if self.step is not None else ()


def ask(sample: Sample, case: Case, *, by: ActingContext) -> Asked:
    """Submit the sample as `by` and ask for its action."""
    request = IntakeRequest(
        workflow=sample.workflow, channel=sample.channel, payload=sample.payload, confidence=sample.confidence
    )
    item = locked_item(create_work_item(request, ctx=by).id, ctx=by)
    case.check_time()
    action = ActionRequest(integration=sample.integration, action=sample.action, input=dict(sample.input))
    try:
        started = execute_action(item, action, ctx=by)
    except errors.PolicyDenied:
        return Asked("denied", item)
    except (errors.ReviewPending, errors.ApprovalPending):
        step = selectors.decision_steps(case.ctx).filter(work_item_id=item.id).select_related("envelope").first()
        return Asked("asked", item, None, step)
    case.check_time()
    return Asked("allowed" if started.step is None else "asked", item, started.execution, started.step)


def vote(asked: Asked, case: Case, *, by: ActingContext, envelope_sha256: str | None = None) -> str:
    """Approve the step as `by`. Return the reason code of the refusal, or an empty string for a stored vote."""
    step = asked.step
    assert step is not None  # noqa: S101
    named = step.envelope.sha256 if envelope_sha256 is None else envelope_sha256
    try:
        cast_vote(asked.item, step, Ballot(decision="approve", envelope_sha256=named), ctx=by)
    except errors.ThreadaError as refusal:
        return refusal.reason_code
    finally:
        case.check_time()
    return ""


def approve(asked: Asked, case: Case) -> bool:
    """Approve the step, if there is one, by the synthetic approvers. Return True if the action may start."""
    step = asked.step
    for approver in case.cast.approvers:
        if step is not None and step.status == StepStatus.PENDING:
            vote(asked, case, by=approver)
    return asked.execution is not None and (step is None or step.status == StepStatus.APPROVED)


@dataclass(slots=True)
class RecordingTransport:
    """Transport of a proof: keeps the requests that would be sent to a receiver, and sends none.

    It takes the place of the call, behind all checks. No secret is read, and no address is looked up.
    """

    requests: list[dict[str, Any]] = field(default_factory=list)

    def call(self, plan: ExecutionPlan) -> None:
        """Keep the request of a call."""
        self.requests.append(plan.request)


def requests_sent(asked: Asked, case: Case) -> list[dict[str, Any]]:
    """Check and lease the execution as a worker does. Return the requests that it would have sent now."""
    transport = RecordingTransport()
    if asked.execution is not None:
        plan = begin_execution(Tenant(id=case.ctx.tenant_id, slug=case.ctx.tenant_slug), asked.execution.id)
        if plan is not None:
            transport.call(plan)
        case.check_time()
    return transport.requests
