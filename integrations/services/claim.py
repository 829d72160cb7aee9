"""Claiming: one worker at a time may run an execution, and only the last one to claim it may say what came of it.

A claim is a lease (until when) and a fencing token (which claim) on the Execution row. Queues may deliver twice and may
not check who finishes a job; the row does.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from integrations.lifecycle import EXECUTION, ExecutionStatus
from integrations.models import Attempt, Execution
from threada_site.database.batched_writes import insert_together, update_row, written_together
from threada_site.kernel import clock

LEASE: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to call the receiver once and to record what came of it."""

    execution_id: uuid.UUID
    attempt_id: uuid.UUID
    fencing_token: int


def claim(execution: Execution, *, now: datetime) -> Claim:
    """Take a locked execution that is due: `started` → `running`, one attempt more."""
    EXECUTION.check_transition(ExecutionStatus(execution.status), ExecutionStatus.RUNNING)
    execution.status = ExecutionStatus.RUNNING
    execution.fencing_token += 1
    execution.attempts_made += 1
    execution.lease_until = now + LEASE
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
    with written_together():
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
        insert_together([attempt])
    return Claim(execution.id, attempt.id, execution.fencing_token)


def renew_lease(held: Claim) -> bool:
    """Hold the lease for another 30 seconds; False when somebody else has taken over."""
    return bool(
        Execution.objects.filter(
            id=held.execution_id, fencing_token=held.fencing_token, status=ExecutionStatus.RUNNING
        ).update(lease_until=clock.now() + LEASE)
    )


def is_due(execution: Execution, *, now: datetime) -> bool:
    """Whether a `started` execution may be claimed now."""
    return execution.status == ExecutionStatus.STARTED and (
        execution.next_try_at is None or execution.next_try_at <= now
    )


def waited_in_vain(execution: Execution, *, now: datetime) -> bool:
    """Whether the receiver has let the time pass that it had to call back."""
    return (
        execution.status == ExecutionStatus.RUNNING
        and execution.waiting_until is not None
        and execution.waiting_until <= now
    )


def is_abandoned(execution: Execution, *, now: datetime) -> bool:
    """Whether the worker that runs it has let its lease run out."""
    return (
        execution.status == ExecutionStatus.RUNNING
        and execution.lease_until is not None
        and execution.lease_until <= now
    )
