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

from integrations.executions.dispatch import re_enqueue
from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids, tracing
from threada_site.tenancy.models import Tenant
from workitems.executions.run_execution import NOT_STARTED, begin_execution, run_execution
from workitems.executions.running.call_slots import call_slots
from workitems.executions.running.calling import ExecutionPlan, call_receiver, receiver_of
from workitems.executions.running.claim_set import MOST, ClaimedSet, claim_in_parts, claim_set
from workitems.executions.running.lanes import LONG_AFTER_S, Place
from workitems.executions.running.settle_set import LONGEST_WINDOW_S, WINDOW_S, Arrived, settle_set, settle_single

CHECK_HOLDS_S: Final = 1.0
"""A call starts within this time after its checks, or not at all."""
OTHERS_AT_ONCE: Final = 3
"""Executions that a job runs alone after its set. More would hold its thread too long; later jobs find the rest."""
SLOTS_WITHIN_S: Final = 0.1
"""A job waits this long for call slots. Then its execution stays due until one is free."""
LOCKED_AGAIN_S: Final = 0.05
LOCKED_TRIES: Final = 20

log = structlog.get_logger("threada.executions")


def run_set(tenant: Tenant, execution_id: uuid.UUID) -> None:
    """Run an execution that is due, together with other due executions of the tenant if places are free.

    Return when no call is left that has lasted less than a second; the others are settled by their own threads.
    """
    if settings.THREADA_CALL_SLOTS < 2:
        run_execution(tenant, execution_id)
        return
    if call_slots.needs_no_job(execution_id):
        return
    taken, claimed = list[int](), ClaimedSet(others=[execution_id])

    def take(wanted: int) -> int:
        taken.append(call_slots.take(min(wanted, MOST), wait_s=SLOTS_WITHIN_S))
        return taken[-1]

    try:
        if not call_slots.is_full(tenant.id):
            claimed = _claim(tenant, execution_id, take=take)
            call_slots.note_claimed(plan.execution_id for plan in claimed.plans)
    finally:
        call_slots.give_back(sum(taken) - len(claimed.plans))
    _call_and_settle(tenant, claimed.plans)
    for each in claimed.others[: 1 + OTHERS_AT_ONCE]:
        _run_alone(tenant, each, is_named=each == execution_id)
    _enqueue_ready()


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
        plan = _begin_alone(tenant, execution_id)
    except Exception:
        if is_named:
            raise
        log.exception("execution_failed", execution=str(execution_id))
        connection.close()
        return
    if plan is not None:
        _call_and_settle(tenant, [plan])


def _begin_alone(tenant: Tenant, execution_id: uuid.UUID) -> ExecutionPlan | None:
    """Lease one execution. Return None if there is nothing to call, or if it may not begin and stays due."""
    taken = call_slots.take(1, wait_s=SLOTS_WITHIN_S)
    plan = None

    def may_begin(execution: Execution) -> bool:
        nonlocal taken
        receiver = receiver_of(execution)
        taken = taken or call_slots.take_beyond(tenant.id)
        if taken and call_slots.has_room(receiver):
            return True
        call_slots.wait(execution_id, tenant.id, receiver if taken else None)
        log.info("execution_waits_for_place", execution=execution.public_id, integration=execution.integration)
        return False

    call_slots.forget_waiting(execution_id)
    try:
        plan = begin_execution(tenant, execution_id, may_begin=may_begin)
    finally:
        if plan is None:
            call_slots.give_back(taken)
    if plan is not None:
        call_slots.note_claimed([execution_id])
    return plan


def _call_and_settle(tenant: Tenant, plans: list[ExecutionPlan]) -> None:
    """Make all calls concurrently and settle their outcomes as they arrive. Locked rows are tried again meanwhile.

    After a second, the calls that are left are handed over to their threads, so that they keep no job waiting.
    """
    arrivals: queue.SimpleQueue[Arrived | None] = queue.SimpleQueue()
    places = [Place(plan.receiver) for plan in plans]
    call_slots.begin(places)
    is_set = len(plans) > 1
    calls: deque[Callable[[], None]] = deque(
        partial(_call, tenant, plan, place, arrivals, is_set=is_set) for plan, place in zip(plans, places, strict=True)
    )
    is_nested = connection.in_atomic_block  # only in a test, whose rows other connections do not see
    if is_nested:
        for call in calls:
            call()
    else:
        call_slots.start(calls)
    left, waiting, tries = len(plans), list[Arrived](), 0
    long_at: float | None = time.monotonic() + LONG_AFTER_S
    while left or waiting:
        _return_connection()
        wait_s = LOCKED_AGAIN_S if waiting else None if long_at is None else max(0.0, long_at - time.monotonic())
        arrived = _gathered(arrivals, left, wait_s=wait_s)
        left -= len(arrived)
        waiting += [each for each in arrived if each is not None]
        if left and long_at is not None and time.monotonic() >= long_at:
            left -= sum(call_slots.hand_over(place) for place in places)
            long_at = None
            _enqueue_ready()
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


def _call(
    tenant: Tenant, plan: ExecutionPlan, place: Place, arrivals: queue.SimpleQueue[Arrived | None], *, is_set: bool
) -> None:
    """Make one call. Hand over a success, to be settled with others; settle anything else here. None: it is settled."""
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
            is_checked = not is_set or time.monotonic() - plan.checked_at <= CHECK_HOLDS_S
            try:
                outcome = call_receiver(tenant, plan) if is_checked else NOT_STARTED
            finally:
                call_slots.note_called(plan.execution_id)
            if outcome is not None and outcome.succeeded and call_slots.arrive(place):
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
        is_awaited = call_slots.arrive(place)
        call_slots.end(place)
        _enqueue_ready()
        _return_connection()
        if is_awaited:
            arrivals.put(arrived)


def _enqueue_ready() -> None:
    """Enqueue executions that waited for a place and may begin now."""
    for tenant_id, execution_id in call_slots.take_ready():
        try:
            with unit_of_work(tenant_id):
                re_enqueue(tenant_id, execution_id)
        except Exception:  # the sweep of lost executions enqueues it
            log.exception("execution_not_enqueued", execution=str(execution_id))
