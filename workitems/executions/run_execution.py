"""`run_execution`: acquire a lease, re-check, call, settle. Engine-neutral; safe to call twice and concurrently.

The first transaction opens the envelope, asks the policies again, counts the votes again if they require an approval,
and acquires the lease. The call to the receiver runs outside any transaction while the lease is renewed. The second
transaction records the result, unless another worker has taken over.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from integrations import selectors as integration_selectors
from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.attempts.outcomes import Outcome
from integrations.configuration.parsed_documents import readable_action_of
from integrations.configuration.simulation import check_before_call
from integrations.documents import ActionDocument
from integrations.executions.dispatch import dispatch_waiting
from integrations.executions.lease import Lease, acquire_lease, callback_timed_out, is_abandoned, is_due
from integrations.freezes.block import block_by_freeze, freeze_before_lease, release_from_freeze
from integrations.lifecycle import ExecutionStatus
from integrations.limits.gauges import admit
from integrations.models import Attempt, Execution
from policies.deciding.decide import recheck
from policies.language.evaluation import Verdict
from threada_site.database.batched_writes import batched_writes
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids, tracing
from threada_site.kernel.context import ActingContext, system_context
from threada_site.tenancy.models import Tenant
from workitems import selectors
from workitems.executions.missing_approval import missing_approval, require_missing_approval
from workitems.executions.open_envelope import open_to_run
from workitems.executions.request_action import asked_of
from workitems.executions.running.calling import ExecutionPlan, call_receiver, plan_of
from workitems.executions.settle_attempt import settle, settle_answered
from workitems.items.actors import actor_of
from workitems.items.receipts import record_item
from workitems.models import WorkItem
from workitems.steps.policy.decision import decision_request

NEVER_CALLED_BACK: Final = Outcome(
    failure=FailureClass.TIMEOUT,
    ambiguous=True,
    detail="The receiver did not call back before the deadline of the callback.",
)
NOT_STARTED: Final = Outcome(
    failure=FailureClass.WORKER_LOST,
    detail="The call did not start within a second of its checks. Nothing was sent.",
)
"""Uses up no attempt: the attempt counts as one whose worker was lost."""

log = structlog.get_logger("threada.executions")


def run_execution(tenant: Tenant, execution_id: uuid.UUID) -> None:
    """Run an execution that is due. Do nothing if it is not due or another worker runs it."""
    began_ns = tracing.now_ns()
    public_id = ids.public_id(ids.EXECUTION, execution_id)
    with bound_contextvars(tenant=tenant.slug, execution=public_id):
        plan = begin_execution(tenant, execution_id)
        if plan is None:
            return
        structlog.contextvars.bind_contextvars(correlation_id=plan.correlation_id)
        about = {"threada__tenant": tenant.slug, "threada__execution": public_id}
        with (
            tracing.following(plan.traceparent),
            tracing.span("execution.run", "consumer", started_ns=began_ns, **about) as span,
        ):
            status = _carry_out(tenant, plan)
            span.note(threada__outcome=status)
        log.info("execution_ran", status=status, target=plan.target)


def _carry_out(tenant: Tenant, plan: ExecutionPlan) -> str:
    """Call the receiver and settle the execution. Return its status."""
    return settle_outcome(tenant, plan, call_receiver(tenant, plan))


def settle_outcome(tenant: Tenant, plan: ExecutionPlan, outcome: Outcome | None) -> str:
    """Record the outcome of a call, unless another worker has taken over. Return the status of the execution."""
    with unit_of_work(tenant.id):
        found = _locked(tenant, plan.execution_id)
        if found is None:
            return "removed"
        item, execution = found
        if not has_lease(execution, plan.lease):
            log.warning("late_outcome_ignored", execution=execution.public_id)
            return "taken_over"
        if outcome is NOT_STARTED:
            execution.worker_deaths += 1
            execution.save(update_fields=["worker_deaths"])
        settle(item, execution, plan.action, plan.request, outcome, lease=plan.lease, ctx=context_of(tenant, execution))
        dispatch_waiting(tenant.id, now=clock.now())
        return execution.status


def begin_execution(
    tenant: Tenant, execution_id: uuid.UUID, *, may_begin: Callable[[Execution], bool] = lambda _execution: True
) -> ExecutionPlan | None:
    """Check an execution that is due and lease it. Return its call; None if there is nothing to call now.

    `may_begin`: False if no place is free for its call. Then it stays due, unless its time for all attempts has passed.
    """
    now = clock.now()
    with unit_of_work(tenant.id):
        found = _locked(tenant, execution_id)
        if found is None:
            return None
        item, execution = found
        ctx = context_of(tenant, execution)
        action = readable_action_of(execution)
        if callback_timed_out(execution, now=now):
            settle_answered(item, execution, action, NEVER_CALLED_BACK, ctx=ctx)
        if is_abandoned(execution, now=now):
            _note_lost_worker(item, execution, action, ctx=ctx)
        if not is_due(execution, now=now):
            return None
        if not _is_free(item, execution, now=now, ctx=ctx):
            dispatch_waiting(tenant.id, now=now)
            return None
        if not may_begin(execution) and _is_in_time(execution, action, now=now):
            return None
        if not _is_admitted(execution, now=now):
            dispatch_waiting(tenant.id, now=now)
            return None
        try:
            check_in_time(execution, action, now=now)
            envelope_fields, given = open_to_run(item, execution)
            check_before_call(envelope_fields["integration"]["connector"])
            verdict = recheck_before_call(item, execution, ctx=ctx)
            missing = missing_approval(item, execution, verdict, given)
        except TransportFailure as failure:
            lease = acquire_lease(execution, now=now)
            settle(item, execution, action, {}, Outcome.of_failure(failure), lease=lease, ctx=ctx)
            dispatch_waiting(tenant.id, now=now)
            return None
        if missing is not None:
            _record_recheck(item, execution, verdict, ctx=ctx)
            require_missing_approval(item, execution, missing, ctx=ctx)
            dispatch_waiting(tenant.id, now=now)
            return None
        lease = lease_and_record(item, execution, verdict, now=now, ctx=ctx)
        return plan_of(tenant, item, execution, envelope_fields, action, lease=lease, ctx=ctx)


def lease_and_record(
    item: WorkItem, execution: Execution, verdict: Verdict, *, now: datetime, ctx: ActingContext
) -> Lease:
    """Acquire the lease of a checked execution and record what was checked and what is sent."""
    with batched_writes():
        lease = acquire_lease(execution, now=now)
        _record_recheck(item, execution, verdict, ctx=ctx)
        record_item(
            "execution.executed",
            item,
            ctx=ctx,
            execution=execution,
            inputs={"envelope_sha256": execution.envelope.sha256, "attempt": execution.attempts_made},
            outcome={"status": execution.status},
        )
    return lease


def _is_free(item: WorkItem, execution: Execution, *, now: datetime, ctx: ActingContext) -> bool:
    """Return True if no freeze covers the execution. Otherwise leave it `started` and note the freeze on it."""
    freeze = freeze_before_lease(execution)
    if freeze is not None:
        if block_by_freeze(execution, freeze, now=now):
            outcome = {"status": execution.status, "held_by": freeze.public_id}
            record_item("execution.held", item, ctx=ctx, execution=execution, outcome=outcome)
        return False
    if execution.blocked_at is not None:
        release_from_freeze(execution, now=now)
        record_item("execution.released", item, ctx=ctx, execution=execution, outcome={"status": execution.status})
    return True


def _is_admitted(execution: Execution, *, now: datetime) -> bool:
    """Return True if the limits of the integration allow the call now.

    Otherwise the execution waits; no attempt is counted.
    """
    wait = admit(execution, now=now)
    if wait is None:
        return True
    execution.waits_for = wait.because
    execution.dispatched_at = None
    execution.save(update_fields=["waits_for", "dispatched_at"])
    return False


def check_in_time(execution: Execution, action: ActionDocument, *, now: datetime) -> None:
    """Raise `TransportFailure` if the time for all attempts passed while the execution waited."""
    if not _is_in_time(execution, action, now=now):
        raise TransportFailure(FailureClass.DEADLINE_PASSED, "The execution waited past the deadline of all attempts.")


def _is_in_time(execution: Execution, action: ActionDocument, *, now: datetime) -> bool:
    began = execution.tries_began_at or now
    return (now - began).total_seconds() <= action.retry.deadline_s


def recheck_before_call(item: WorkItem, execution: Execution, *, ctx: ActingContext) -> Verdict:
    """Evaluate the policies in force again, right before the call. Raise `TransportFailure` if they deny it.

    The receipt of any other result is written by the caller.
    """
    verdict = verdict_before_call(item, execution, ctx=ctx)
    if str(verdict.outcome) not in ("allow", "require_approval"):
        _record_recheck(item, execution, verdict, ctx=ctx)
        raise TransportFailure(
            FailureClass.POLICY_DENIED, f"The policies in force refuse it now: {', '.join(verdict.reason_codes)}."
        )
    return verdict


def verdict_before_call(item: WorkItem, execution: Execution, *, ctx: ActingContext) -> Verdict:
    """Return the verdict of the policies in force on the action. Record nothing."""
    actor = actor_of(execution)
    return recheck(decision_request(item, actor=actor, asked=asked_of(execution)), ctx=ctx)


def _record_recheck(item: WorkItem, execution: Execution, verdict: Verdict, *, ctx: ActingContext) -> None:
    record_item(
        "policy.rechecked",
        item,
        ctx=ctx,
        execution=execution,
        policy={"matched": [{"policy": rule.policy, "rule": rule.rule} for rule in verdict.matched]},
        outcome={"effect": str(verdict.outcome)},
        reason_codes=tuple(verdict.reason_codes),
    )


def _note_lost_worker(item: WorkItem, execution: Execution, action: ActionDocument, *, ctx: ActingContext) -> None:
    """Settle the attempt of a worker whose lease expired as ambiguous: its effect is unknown."""
    execution.worker_deaths += 1
    execution.save(update_fields=["worker_deaths"])
    attempt = Attempt.objects.filter(execution=execution, fencing_token=execution.fencing_token).first()
    lease = Lease(execution.id, attempt.id if attempt else uuid.UUID(int=0), execution.fencing_token)
    lost = Outcome(failure=FailureClass.WORKER_LOST, ambiguous=True, detail="The worker that ran it was lost.")
    settle(item, execution, action, {}, lost, lease=lease, ctx=ctx)


def _locked(tenant: Tenant, execution_id: uuid.UUID) -> tuple[WorkItem, Execution] | None:
    item = selectors.work_item_of_execution_for_update(execution_id, tenant_id=tenant.id)
    execution = integration_selectors.execution_for_update(execution_id, tenant_id=tenant.id)
    return None if item is None or execution is None else (item, execution)


def has_lease(execution: Execution, lease: Lease) -> bool:
    return execution.status == ExecutionStatus.RUNNING and execution.fencing_token == lease.fencing_token


def context_of(tenant: Tenant, execution: Execution) -> ActingContext:
    return system_context(
        tenant_id=tenant.id, tenant_slug=tenant.slug, correlation_id=execution.correlation_id or uuid.uuid4().hex
    )
