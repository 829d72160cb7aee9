"""Leases on executions: one worker at a time runs an execution, and only the last one to acquire the lease settles it.

A lease is an instant until which it is valid and a fencing token (its number), both columns of the Execution row. A
queue may deliver a job twice and may not check which worker finishes it; the row does.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from integrations.lifecycle import EXECUTION, ExecutionStatus
from integrations.models import Attempt, Execution
from threada_site.database.batched_writes import batched_writes, insert_rows, update_row
from threada_site.kernel import clock

LEASE_DURATION: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to call the receiver once and to record the result."""

    execution_id: uuid.UUID
    attempt_id: uuid.UUID
    fencing_token: int


def acquire_lease(execution: Execution, *, now: datetime) -> Lease:
    """Lease a locked execution that is due: `started` → `running`, with a new attempt."""
    EXECUTION.check_transition(ExecutionStatus(execution.status), ExecutionStatus.RUNNING)
    execution.status = ExecutionStatus.RUNNING
    execution.fencing_token += 1
    execution.attempts_made += 1
    execution.lease_until = now + LEASE_DURATION
    execution.next_try_at = None
    execution.waits_for = ""
    execution.tries_began_at = execution.tries_began_at or now
    attempt = Attempt(
        tenant_id=execution.tenant_id,
        execution=execution,
        number=execution.attempts_made,
        fencing_token=execution.fencing_token,
        started_at=now,
    )
    with batched_writes():
        update_row(
            execution,
            "status",
            "fencing_token",
            "attempts_made",
            "lease_until",
            "next_try_at",
            "tries_began_at",
            "waits_for",
        )
        insert_rows(attempt)
    return Lease(execution.id, attempt.id, execution.fencing_token)


def renew_lease(lease: Lease) -> bool:
    """Extend the lease by 30 seconds. Return False if another worker has taken over."""
    return bool(
        Execution.objects.filter(
            id=lease.execution_id, fencing_token=lease.fencing_token, status=ExecutionStatus.RUNNING
        ).update(lease_until=clock.now() + LEASE_DURATION)
    )


def is_due(execution: Execution, *, now: datetime) -> bool:
    """Return True if a `started` execution may be leased now."""
    return execution.status == ExecutionStatus.STARTED and (
        execution.next_try_at is None or execution.next_try_at <= now
    )


def callback_timed_out(execution: Execution, *, now: datetime) -> bool:
    """Return True if the receiver has not called back within the time it had."""
    return (
        execution.status == ExecutionStatus.RUNNING
        and execution.waiting_until is not None
        and execution.waiting_until <= now
    )


def is_abandoned(execution: Execution, *, now: datetime) -> bool:
    """Return True if the lease of a running execution has expired."""
    return (
        execution.status == ExecutionStatus.RUNNING
        and execution.lease_until is not None
        and execution.lease_until <= now
    )
