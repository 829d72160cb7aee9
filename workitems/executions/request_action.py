"""Execution requests (`POST /actions/execute`): policy decision, envelope, and approval step or dispatch."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from integrations import selectors as integration_selectors
from integrations.executions.dispatch import dispatch_in_batch
from integrations.lifecycle import EXECUTION, ExecutionStatus
from integrations.models import Execution
from policies import selectors as policy_selectors
from policies.deciding.decide import decide
from policies.models import PolicyDecision
from threada_site.database.batched_writes import batched_writes, insert_rows
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.tracing import traceparent
from workitems.executions.build_envelope import Configured, build_action_envelope, check_input, configured_action
from workitems.executions.repeated_request import input_commitment, key_conflicts_as_in_flight
from workitems.executions.undo import check_same_reality, execution_to_undo
from workitems.items.actors import Actor, actor_in, actor_of
from workitems.items.erasable_fields import require_contents
from workitems.items.receipts import record_item
from workitems.items.transitions import transition_unless_undo
from workitems.lifecycle import WORK_ITEM, StepKind, WorkItemStatus
from workitems.models import DecisionStep, WorkItem
from workitems.permits.units import reserve_unit
from workitems.steps.opening_and_closing import new_envelope, open_step
from workitems.steps.policy.decision import (
    ActionAsked,
    approval_rule,
    decision_request,
    record_decision,
    refusal_reasons,
    take_intake_decision,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequest:
    """Action to execute on a work item, with its input."""

    integration: str
    action: str
    input: dict[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    undoes: uuid.UUID | None = None
    declared: bool = False
    """True if the workflow's `request` permits it, instead of `actions:execute`."""
    requester: uuid.UUID | None = None
    """Principal in whose name Threada starts an undo by itself; None: the acting principal requests the action."""


@dataclass(frozen=True, slots=True)
class ActionStarted:
    """New execution, and the step that it waits for (None if it was dispatched)."""

    execution: Execution
    step: DecisionStep | None


type AlsoWrite = Callable[[ActionStarted], None]
"""Is called in the block of batched writes: what it inserts is written by the same statement."""


def execute_action(
    item: WorkItem, request: ActionRequest, *, ctx: ActingContext, also_write: AlsoWrite | None = None
) -> ActionStarted:
    """Request the execution of an action on a locked item.

    A denial is stored (decision and receipt) and raised as `PolicyDenied`. Every other error changes nothing;
    `IdempotencyInFlight` means that a concurrent request has used the key.
    """
    require_unit_of_work(ctx.tenant_id)
    configured = _permitted_action(item, request, ctx=ctx)
    return execute_configured(item, request, configured, ctx=ctx, also_write=also_write)


def execute_configured(
    item: WorkItem,
    request: ActionRequest,
    configured: Configured,
    *,
    ctx: ActingContext,
    also_write: AlsoWrite | None = None,
) -> ActionStarted:
    """Request the execution of an action that the caller was permitted to execute, like `execute_action`."""
    earlier = integration_selectors.executions_before(item.id, request.integration, tenant_id=item.tenant_id)
    undone = execution_to_undo(earlier, request.action, named=request.undoes)
    check_same_reality(undone, is_simulated=configured.is_simulated)
    check_executable(item, earlier, ctx=ctx, undoes=undone is not None)
    check_input(configured, request.input)
    execution = Execution(
        tenant_id=ctx.tenant_id,
        work_item_id=item.id,
        workflow=item.workflow,
        channel=item.channel,
        integration=request.integration,
        action=request.action,
        integration_version=configured.version,
        is_simulated=configured.is_simulated,
        requested_by=request.requester or ctx.principal_id,
        is_timed_undo=request.requester is not None,
        idempotency_key=request.idempotency_key or f"threada-{secrets.token_urlsafe(18)}",
        input=request.input,
        input_commitment=input_commitment(item, request.input),
        undoes_id=undone.id if undone else None,
        correlation_id=ctx.correlation_id,
        traceparent=traceparent() or "",
    )
    with key_conflicts_as_in_flight(), batched_writes():
        actor = _actor(execution, ctx)
        decision = decide(decision_request(item, actor=actor, asked=asked_of(execution)), ctx=ctx)
        if decision.outcome in ("allow", "require_approval"):
            started = start_decided(item, execution, decision, configured, ctx=ctx, declared=request.declared)
            if also_write is not None:
                also_write(started)
            return started
        record_decision(item, decision, ctx=ctx)
    raise errors.PolicyDenied(
        "A policy denies this action. See reasons.", reasons=refusal_reasons(decision), keeps_changes=True
    )


def start_decided(
    item: WorkItem,
    execution: Execution,
    decision: PolicyDecision,
    configured: Configured,
    *,
    ctx: ActingContext,
    declared: bool = False,
) -> ActionStarted:
    """Build the envelope of an allowed action, then dispatch the execution or open its approval step.

    A permit that covers the execution takes the place of the step: a unit of it is reserved. Runs in a block of
    `batched_writes`.
    """
    actor = _actor(execution, ctx)
    envelope = new_envelope(item, build_action_envelope(item, execution, decision, configured, actor=actor))
    execution.envelope_id = envelope.id
    execution.policy_decision_id = decision.id
    execution.policy_version_id = item.policy_version_id = decision.policy_version_id
    permit = None
    if decision.outcome == "require_approval":
        permit = reserve_unit(item, execution, decision, envelope_sha256=envelope.sha256, ctx=ctx)
    needs_approval = decision.outcome == "require_approval" and permit is None
    execution.status = ExecutionStatus.AWAITING_APPROVAL if needs_approval else ExecutionStatus.STARTED
    transition_unless_undo(
        item,
        execution,
        WorkItemStatus.AWAITING_APPROVAL if needs_approval else WorkItemStatus.EXECUTING,
        "policy_version_id",
    )
    record_decision(item, decision, ctx=ctx, execution=execution)
    insert_rows(envelope, execution)
    record_item(
        "execution.proposed",
        item,
        ctx=ctx,
        execution=execution,
        inputs={
            "action": execution.action,
            "envelope_sha256": envelope.sha256,
            "input_commitment": input_commitment(item, execution.input),
            "integration_version_id": ids.public_id(ids.INTEGRATION_VERSION, execution.integration_version_id),
            **({"permitted_by": "workflow.request"} if declared else {}),
            **({"permitted_by": "undo_after"} if execution.is_timed_undo else {}),
            **({"permit_id": permit.public_id} if permit else {}),
            **({"undoes": ids.public_id(ids.EXECUTION, undone)} if (undone := execution.undoes_id) else {}),
        },
        policy={"policy_decision_id": decision.public_id},
        outcome={"status": execution.status},
    )
    if needs_approval:
        step = open_step(
            item,
            kind=StepKind.APPROVAL,
            rule=approval_rule(decision),
            decision=decision,
            ctx=ctx,
            execution=execution,
            envelope=envelope,
            asked_by=execution.requested_by,
        )
        return ActionStarted(execution, step)
    dispatch_in_batch(execution)
    return ActionStarted(execution, None)


def _actor(execution: Execution, ctx: ActingContext) -> Actor:
    """Return the acting principal, or the actor of an undo that Threada starts by itself."""
    return actor_of(execution) if execution.is_timed_undo else actor_in(ctx)


def _permitted_action(item: WorkItem, request: ActionRequest, *, ctx: ActingContext) -> Configured:
    """Return the requested action. Raise an error unless the caller and the workflow may execute it."""
    integration = integration_selectors.integration_by_slug(request.integration, ctx=ctx)
    workflow_id = item.workflow_version.workflow_id
    if not ctx.allows(Scope.ACTIONS_EXECUTE, workflow=workflow_id, integration=integration.id if integration else None):
        raise errors.PermissionDenied(f"You do not hold actions:execute on the workflow {item.workflow}.")
    return configured_action(item, integration, named=request.integration, action=request.action, ctx=ctx)


def check_executable(
    item: WorkItem, executions: Iterable[Execution], *, ctx: ActingContext, undoes: bool = False
) -> None:
    """Raise unless an action may be requested on the item now. Decides first about an item that is `new`.

    Each action on a refused item raises `PolicyDenied` with the reasons of the decision that refused the item.
    `executions` contains all open ones of the item. On an ended item only an action that undoes another one
    (`undoes`) is allowed.
    """
    require_contents(item)
    if any(EXECUTION.is_open(ExecutionStatus(execution.status)) for execution in executions):
        raise errors.ExecutionInProgress(
            "An execution is open on this work item. Wait for the execution, cancel it or reconcile it."
        )
    if item.status == WorkItemStatus.NEW:
        decision = take_intake_decision(item, ctx=ctx)
        if decision is not None and item.status == WorkItemStatus.REFUSED:
            raise _item_denied(decision, keeps_changes=True)
    if item.status == WorkItemStatus.IN_REVIEW:
        raise errors.ReviewPending(
            "This work item is in review. Execute the action once it is ready.", keeps_changes=True
        )
    if item.status == WorkItemStatus.AWAITING_APPROVAL:
        raise errors.ApprovalPending(
            "This work item awaits an approval. Execute the action once it is ready.", keeps_changes=True
        )
    if undoes and not WORK_ITEM.is_open(WorkItemStatus(item.status)):
        return
    if item.status == WorkItemStatus.REFUSED:
        raise _item_denied(policy_selectors.latest_intake_decision(item.id, tenant_id=item.tenant_id))
    if not WORK_ITEM.allows(WorkItemStatus(item.status), WorkItemStatus.EXECUTING):
        raise errors.TransitionNotAllowed(f"A work item that is {item.status} takes no more actions.")


def _item_denied(decision: PolicyDecision | None, *, keeps_changes: bool = False) -> errors.PolicyDenied:
    """Return the refusal of an action on a work item that `decision` refused at intake."""
    return errors.PolicyDenied(
        "A policy denies this work item. See reasons.",
        reasons=refusal_reasons(decision) if decision else (),
        keeps_changes=keeps_changes,
    )


def asked_of(execution: Execution) -> ActionAsked:
    """Return the action of an execution in the form that policies decide about."""
    return ActionAsked(
        integration=execution.integration,
        action=execution.action,
        input=execution.input,
        execution_id=execution.id,
    )
