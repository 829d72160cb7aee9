"""`run_set`: a job wakes a worker for a tenant, which runs the execution that the job names and others with it."""

from __future__ import annotations

import queue
import time
import uuid
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog
from django.conf import settings
from django.db import connection
from structlog.contextvars import bound_contextvars

from integrations.lifecycle import ExecutionStatus
from threada_site.kernel import ids, tracing
from threada_site.tenancy.models import Tenant
from workitems.executions.run_execution import NOT_STARTED, run_execution
from workitems.executions.running.call_slots import call_slots
from workitems.executions.running.calling import ExecutionPlan, call_receiver
from workitems.executions.running.claim_set import MOST, ClaimedSet, claim_in_parts, claim_set
from workitems.executions.running.settle_set import LONGEST_WINDOW_S, WINDOW_S, Arrived, settle_set, settle_single

CHECK_HOLDS_S: Final = 1.0
"""A call starts within this time after its checks, or not at all."""
OTHERS_AT_ONCE: Final = 3
"""Executions that a job runs alone after its set. More would hold its thread too long; later jobs find the rest."""
SLOTS_WITHIN_S: Final = 0.1
"""A job waits this long for call slots, then runs its execution alone: the calls of others may take minutes."""
LOCKED_AGAIN_S: Final = 0.05
LOCKED_TRIES: Final = 20

log = structlog.get_logger("threada.executions")


def run_set(tenant: Tenant, execution_id: uuid.UUID) -> None:
    """Run an execution that is due, together with other due executions of the tenant if call slots are free."""
    if call_slots.has_claimed(execution_id):
        return
    taken, claimed = list[int](), ClaimedSet(others=[execution_id])

    def take(wanted: int) -> int:
        taken.append(call_slots.take(min(wanted, MOST), wait_s=SLOTS_WITHIN_S))
        return taken[-1]

    try:
        if settings.THREADA_CALL_SLOTS > 1:
            claimed = _claim(tenant, execution_id, take=take)
            call_slots.note_claimed(plan.execution_id for plan in claimed.plans)
    finally:
        call_slots.give_back(sum(taken) - len(claimed.plans))
    _call_and_settle(tenant, claimed.plans)
    for each in claimed.others[: 1 + OTHERS_AT_ONCE]:
        _run_alone(tenant, each, is_named=each == execution_id)


def _claim(tenant: Tenant, execution_id: uuid.UUID, *, take: Callable[[int], int]) -> ClaimedSet:
    """Claim a set. If that fails, claim its halves, until the execution that cannot be claimed is alone.

    The execution of the job comes first of the others, unless it is in the set or has nothing to do.
    """
    members: list[uuid.UUID] = []
    try:
        claimed = claim_set(tenant, execution_id, take=take, members=members)
    except Exception:
        if connection.in_atomic_block:
            raise
        log.warning("set_not_claimed", members=len(members), exc_info=True)
        connection.close()
        claimed = claim_in_parts(tenant, members)
    is_over = claimed.is_named_over or call_slots.has_claimed(execution_id)
    if execution_id not in {plan.execution_id for plan in claimed.plans} and not is_over:
        claimed.others = [execution_id, *(each for each in claimed.others if each != execution_id)]
    return claimed


def _run_alone(tenant: Tenant, execution_id: uuid.UUID, *, is_named: bool) -> None:
    try:
        run_execution(tenant, execution_id)
    except Exception:
        if is_named:
            raise
        log.exception("execution_failed", execution=str(execution_id))
        connection.close()


def _call_and_settle(tenant: Tenant, plans: list[ExecutionPlan]) -> None:
    """Make all calls concurrently and settle their outcomes as they arrive. Locked rows are tried again meanwhile."""
    arrivals: queue.SimpleQueue[Arrived | None] = queue.SimpleQueue()
    calls: deque[Callable[[], None]] = deque(partial(_call, tenant, plan, arrivals) for plan in plans)
    is_nested = connection.in_atomic_block  # only in a test, whose rows other connections do not see
    if is_nested or len(calls) == 1:
        for call in calls:
            call()
    else:
        call_slots.start(calls)
    left, waiting, tries = len(plans), list[Arrived](), 0
    while left or waiting:
        _return_connection()
        arrived = _gathered(arrivals, left, wait_s=LOCKED_AGAIN_S if waiting else None)
        left -= len(arrived)
        waiting += [each for each in arrived if each is not None]
        if not left and tries > LOCKED_TRIES:
            for each in waiting:
                settle_single(tenant, each)  # waits for the lock
            return
        if waiting:
            waiting = settle_set(tenant, waiting)
            tries = tries + 1 if waiting else 0


def _return_connection() -> None:
    if not connection.in_atomic_block:
        connection.close()


def _gathered(arrivals: queue.SimpleQueue[Arrived | None], left: int, *, wait_s: float | None) -> list[Arrived | None]:
    """Wait for an outcome, and return it with those that arrive within a window of the one before, up to a limit."""
    if not left:
        time.sleep(wait_s or 0)
        return []
    try:
        arrived = [arrivals.get(timeout=wait_s)]
    except queue.Empty:
        return []
    until = time.monotonic() + LONGEST_WINDOW_S
    while len(arrived) < left and (wait := until - time.monotonic()) > 0:
        try:
            arrived.append(arrivals.get(timeout=min(wait, WINDOW_S)))
        except queue.Empty:
            break
    return arrived


def _call(tenant: Tenant, plan: ExecutionPlan, arrivals: queue.SimpleQueue[Arrived | None]) -> None:
    """Make one call. Hand over a success, to be settled with others; settle a failure here. None: it is settled."""
    arrived: Arrived | None = None
    public_id = ids.public_id(ids.EXECUTION, plan.execution_id)
    try:
        with (
            bound_contextvars(tenant=tenant.slug, execution=public_id, correlation_id=plan.correlation_id),
            tracing.following(plan.traceparent),
            tracing.span(
                "execution.run", "consumer", threada__tenant=tenant.slug, threada__execution=public_id
            ) as span,
        ):
            is_checked = time.monotonic() - plan.checked_at <= CHECK_HOLDS_S
            try:
                outcome = call_receiver(tenant, plan) if is_checked else NOT_STARTED
            finally:
                call_slots.note_called(plan.execution_id)
            if outcome is not None and outcome.succeeded:
                arrived = Arrived(plan, outcome)
                is_over = plan.action.waits_for_callback_s is None
                span.note(threada__outcome=ExecutionStatus.SUCCEEDED if is_over else ExecutionStatus.RUNNING)
            else:
                with call_slots.settling:
                    span.note(threada__outcome=settle_single(tenant, Arrived(plan, outcome)))
    except Exception:  # the attempt ends as `worker_lost` when its lease expires
        log.exception("call_failed", execution=public_id)
    finally:
        call_slots.note_called(plan.execution_id)
        _return_connection()
        call_slots.give_back(1)
        arrivals.put(arrived)
