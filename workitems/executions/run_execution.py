"""`run_execution`: acquire a lease, re-check, call, settle. Engine-neutral; safe to call twice and concurrently.

The first transaction opens the envelope, asks the policies again, counts the votes again if they require an approval,
and acquires the lease. The call to the receiver runs outside any transaction while the lease is renewed. The second
transaction records the result, unless another worker has taken over.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import connection
from structlog.contextvars import bound_contextvars

from integrations import selectors as integration_selectors
from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.attempts.outcomes import Outcome
from integrations.configuration.parsed_documents import readable_action_of, secret_access
from integrations.configuration.simulation import check_before_call
from integrations.connectors import CallTerms, OutboundConnector, connector_named
from integrations.documents import ActionDocument
from integrations.executions.dispatch import dispatch_waiting
from integrations.executions.lease import Lease, acquire_lease, callback_timed_out, is_abandoned, is_due
from integrations.executions.receiver_key import receiver_key
from integrations.freezes.block import block_by_freeze, freeze_before_lease, release_from_freeze
from integrations.lifecycle import ExecutionStatus
from integrations.limits.gauges import admit
from integrations.models import Attempt, Execution
from integrations.secrets.access import SecretAccess
from integrations.transport import EgressPolicy
from policies.deciding.decide import recheck
from policies.language.evaluation import Verdict
from threada_site.database.batched_writes import batched_writes
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids, tracing
from threada_site.kernel.context import ActingContext, system_context
from threada_site.tenancy.models import Tenant
from workitems import selectors
from workitems.attachments.access import FileAccess
from workitems.executions.callbacks import callback_id
from workitems.executions.lease_renewal import renewed_lease
from workitems.executions.missing_approval import missing_approval, require_missing_approval
from workitems.executions.open_envelope import open_to_run
from workitems.executions.request_action import asked_of
from workitems.executions.settle_attempt import settle, settle_answered
from workitems.items.actors import actor_of
from workitems.items.receipts import record_item
from workitems.models import WorkItem
from workitems.steps.policy_decision import decision_request

NEVER_CALLED_BACK: Final = Outcome(
    failure=FailureClass.TIMEOUT,
    ambiguous=True,
    detail="The receiver did not call back before the deadline of the callback.",
)

log = structlog.get_logger("threada.executions")


@dataclass(frozen=True, slots=True)
class ExecutionPlan:
    """Everything the call needs: the lease, the request of the envelope, and the settings of the action."""

    lease: Lease
    connector: str
    request: dict[str, Any]
    action: ActionDocument
    secrets: SecretAccess
    files: FileAccess
    target: str
    correlation_id: str
    traceparent: str
    kept_for: str


def run_execution(tenant: Tenant, execution_id: uuid.UUID) -> None:
    """Run an execution that is due. Do nothing if it is not due or another worker runs it."""
    began_ns = tracing.now_ns()
    public_id = ids.public_id(ids.EXECUTION, execution_id)
    with bound_contextvars(tenant=tenant.slug, execution=public_id):
        plan = _begin(tenant, execution_id)
        if plan is None:
            return
        structlog.contextvars.bind_contextvars(correlation_id=plan.correlation_id)
        about = {"threada__tenant": tenant.slug, "threada__execution": public_id}
        with (
            tracing.following(plan.traceparent),
            tracing.span("execution.run", "consumer", started_ns=began_ns, **about) as span,
        ):
            status = _carry_out(tenant, execution_id, plan)
            span.note(threada__outcome=status)
        log.info("execution_ran", status=status, target=plan.target)


def _carry_out(tenant: Tenant, execution_id: uuid.UUID, plan: ExecutionPlan) -> str:
    """Call the receiver and settle the execution. Return its status."""
    connector = connector_named(plan.connector)
    outcome: Outcome | None = None
    if isinstance(connector, OutboundConnector):
        if not connection.in_atomic_block:
            connection.close()  # back to the pool: a call may take minutes
        with renewed_lease(tenant, plan.lease), tracing.span(f"call {plan.target}", "client") as span:
            outcome = connector.call(plan.request, _terms(tenant, execution_id, plan))
            if outcome.failure is not None:
                span.fail(outcome.failure.value)
    with unit_of_work(tenant.id):
        found = _locked(tenant, execution_id)
        if found is None:
            return "removed"
        item, execution = found
        if not _has_lease(execution, plan.lease):
            log.warning("late_outcome_ignored", execution=execution.public_id)
            return "taken_over"
        settle(item, execution, plan.action, plan.request, outcome, lease=plan.lease, ctx=_context(tenant, execution))
        dispatch_waiting(tenant.id, now=clock.now())
        return execution.status


def _begin(tenant: Tenant, execution_id: uuid.UUID) -> ExecutionPlan | None:
    now = clock.now()
    with unit_of_work(tenant.id):
        found = _locked(tenant, execution_id)
        if found is None:
            return None
        item, execution = found
        ctx = _context(tenant, execution)
        action = readable_action_of(execution)
        if callback_timed_out(execution, now=now):
            settle_answered(item, execution, action, NEVER_CALLED_BACK, ctx=ctx)
        if is_abandoned(execution, now=now):
            _note_lost_worker(item, execution, action, ctx=ctx)
        if not is_due(execution, now=now):
            return None
        if not _is_free(item, execution, now=now, ctx=ctx) or not _is_admitted(execution, now=now):
            dispatch_waiting(tenant.id, now=now)
            return None
        try:
            _check_in_time(execution, action, now=now)
            envelope_fields, given = open_to_run(item, execution)
            check_before_call(envelope_fields["integration"]["connector"])
            verdict = _recheck(item, execution, ctx=ctx)
        except TransportFailure as failure:
            lease = acquire_lease(execution, now=now)
            settle(item, execution, action, {}, Outcome.of_failure(failure), lease=lease, ctx=ctx)
            dispatch_waiting(tenant.id, now=now)
            return None
        missing = missing_approval(item, execution, verdict, given)
        if missing is not None:
            _record_recheck(item, execution, verdict, ctx=ctx)
            require_missing_approval(item, execution, missing, ctx=ctx)
            dispatch_waiting(tenant.id, now=now)
            return None
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
        return ExecutionPlan(
            lease,
            envelope_fields["integration"]["connector"],
            envelope_fields["request"],
            action,
            secrets=secret_access(execution.integration_version, tenant=tenant.slug),
            files=FileAccess(tenant.id, item.id),
            target=f"{execution.integration}.{execution.action}",
            correlation_id=ctx.correlation_id,
            traceparent=execution.traceparent,
            kept_for=f"{tenant.id}:{execution.integration_version_id}",
        )


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


def _check_in_time(execution: Execution, action: ActionDocument, *, now: datetime) -> None:
    """Raise `TransportFailure` if the time for all attempts passed while the execution waited."""
    began = execution.tries_began_at or now
    if (now - began).total_seconds() > action.retry.deadline_s:
        raise TransportFailure(FailureClass.DEADLINE_PASSED, "The execution waited past the deadline of all attempts.")


def _recheck(item: WorkItem, execution: Execution, *, ctx: ActingContext) -> Verdict:
    """Evaluate the policies in force again, right before the call. Raise `TransportFailure` if they deny it.

    The receipt of any other result is written by the caller.
    """
    actor = actor_of(execution)
    verdict = recheck(decision_request(item, actor=actor, asked=asked_of(execution)), ctx=ctx)
    if str(verdict.outcome) not in ("allow", "require_approval"):
        _record_recheck(item, execution, verdict, ctx=ctx)
        raise TransportFailure(
            FailureClass.POLICY_DENIED, f"The policies in force refuse it now: {', '.join(verdict.reason_codes)}."
        )
    return verdict


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


def _has_lease(execution: Execution, lease: Lease) -> bool:
    return execution.status == ExecutionStatus.RUNNING and execution.fencing_token == lease.fencing_token


def _terms(tenant: Tenant, execution_id: uuid.UUID, plan: ExecutionPlan) -> CallTerms:
    return CallTerms(
        idempotency_key=receiver_key(execution_id),
        timeout_s=plan.action.timeout_s,
        egress=EgressPolicy(settings.THREADA_EGRESS_ALLOW),
        user_agent=f"Threada/{settings.THREADA_VERSION}",
        traceparent=tracing.traceparent(),
        callback_url=_callback_url(tenant, execution_id, plan),
        secrets=plan.secrets,
        files=plan.files,
        kept_for=plan.kept_for,
    )


def _callback_url(tenant: Tenant, execution_id: uuid.UUID, plan: ExecutionPlan) -> str | None:
    if plan.action.waits_for_callback_s is None:
        return None
    return f"{settings.THREADA_PUBLIC_URL.rstrip('/')}/callbacks/{callback_id(tenant.id, execution_id)}"


def _context(tenant: Tenant, execution: Execution) -> ActingContext:
    return system_context(
        tenant_id=tenant.id, tenant_slug=tenant.slug, correlation_id=execution.correlation_id or uuid.uuid4().hex
    )
