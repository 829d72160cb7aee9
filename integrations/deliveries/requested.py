"""Runs of requested attempts of deliveries: a test event, or receipts that are sent again. A job leases each."""

from __future__ import annotations

import uuid
from datetime import timedelta
from time import monotonic
from typing import Final

import structlog
from django.db import connection

from integrations.attempts.failures import FailureClass
from integrations.deliveries.deliver import SENDERS
from telemetry.deliveries.batches import RECORDS_REJECTED, Batch, SealedReceipt, fitting, selected_receipts
from telemetry.deliveries.rules import DeliveryFailure
from telemetry.lifecycle import DeliveryStatus
from telemetry.models import DeliveryAttempt
from telemetry.receipts.event_kinds import TEST_EVENT
from telemetry.receipts.format import Entry, body_bytes
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import Conflict

LEASE_DURATION: Final = timedelta(seconds=150)
"""Longer than the longest attempt, with its last message."""
LONGEST_S: Final = 60.0
"""Seconds after which an attempt sends no further message, so that a slow receiver does not hold a worker."""

log = structlog.get_logger("threada.deliveries")


def run_attempt(attempt_id: uuid.UUID, *, ctx: ActingContext) -> None:
    """Run a queued attempt. End one whose worker was lost as failed. Opens its own units of work; safe to run twice.

    A failed attempt is not repeated by itself.
    """
    with unit_of_work(ctx.tenant_id):
        attempt = _begin(attempt_id, ctx=ctx)
        receipts = [] if attempt is None else _receipts(attempt, ctx=ctx)
    if attempt is None:
        return
    if not connection.in_atomic_block:
        connection.close()  # back to the pool: the receiver may take seconds
    sent, failure = _send(attempt, receipts)
    with unit_of_work(ctx.tenant_id):
        current = _locked(attempt_id, ctx=ctx)
        if current is None or current.status != "running":
            log.warning("late_delivery_attempt_ignored", attempt=attempt.public_id)
            return
        _end(current, failure, events=sent)


def _receipts(attempt: DeliveryAttempt, *, ctx: ActingContext) -> list[SealedReceipt]:
    if attempt.first_index is not None and attempt.last_index is not None:
        return selected_receipts(attempt.delivery, start=attempt.first_index, end=attempt.last_index + 1)
    now = clock.now()
    receipt_id = ids.new_uuid()
    entry = Entry(kind=TEST_EVENT, inputs={"delivery_id": attempt.delivery.slug})
    body = body_bytes(entry, ctx, receipt_id=receipt_id, occurred_at=now)
    return [SealedReceipt(-1, ids.public_id(ids.RECEIPT, receipt_id), now, b"", body)]


def _send(attempt: DeliveryAttempt, receipts: list[SealedReceipt]) -> tuple[int, DeliveryFailure | None]:
    """Return the number of events that the receiver accepted, and the failure that ended the attempt."""
    sent, started = 0, monotonic()
    while part := fitting(receipts[sent:]):
        if sent and monotonic() - started > LONGEST_S:
            detail = f"The receiver took {sent} of {len(receipts)} events in {LONGEST_S:.0f} seconds. Send fewer again."
            return sent, DeliveryFailure(FailureClass.TIMEOUT.value, detail)
        batch = Batch(attempt.delivery, part, part[-1].index + 1, name=attempt.public_id)
        result = SENDERS[attempt.delivery.target](batch)
        if isinstance(result, DeliveryFailure):
            return sent, result
        sent += len(part) - result.rejected
        if result.rejected:
            detail = f"The collector rejected {result.rejected} of {len(part)} records. It says: {result.detail}"
            return sent, DeliveryFailure(RECORDS_REJECTED, detail)
    return sent, None


def _begin(attempt_id: uuid.UUID, *, ctx: ActingContext) -> DeliveryAttempt | None:
    """Return the attempt with a new lease, or None if it is not queued."""
    now = clock.now()
    attempt = _locked(attempt_id, ctx=ctx)
    if attempt is None:
        return None
    if attempt.status == "running" and attempt.lease_until is not None and attempt.lease_until <= now:
        detail = "The worker was lost. Some of the events may have been sent."
        _end(attempt, DeliveryFailure(FailureClass.WORKER_LOST.value, detail), events=0)
        return None
    if attempt.status != "queued":
        return None
    attempt.status, attempt.lease_until = "running", now + LEASE_DURATION
    attempt.save(update_fields=["status", "lease_until"])
    detail = _why_not_sent(attempt)
    if detail:
        _end(attempt, DeliveryFailure(Conflict.reason_code, detail), events=0)
        return None
    return attempt


def _why_not_sent(attempt: DeliveryAttempt) -> str:
    """Return why a requested attempt is not made any more; empty if it is made."""
    if attempt.delivery.status == DeliveryStatus.REMOVED:
        return "The delivery was removed. Nothing was sent."
    if attempt.purpose == "resend" and attempt.delivery.status != DeliveryStatus.ACTIVE:
        return "The delivery was paused. Nothing was sent."
    return ""


def _end(attempt: DeliveryAttempt, failure: DeliveryFailure | None, *, events: int) -> None:
    attempt.status, attempt.lease_until, attempt.finished_at = "delivered", None, clock.now()
    attempt.events = events
    if failure is not None:
        attempt.status, attempt.failure, attempt.detail = "failed", failure.failure, failure.detail[:500]
    attempt.save(update_fields=["status", "lease_until", "finished_at", "events", "failure", "detail"])


def _locked(attempt_id: uuid.UUID, *, ctx: ActingContext) -> DeliveryAttempt | None:
    rows = DeliveryAttempt.objects.select_for_update(of=("self",)).select_related("delivery", "delivery__tenant")
    return rows.filter(tenant_id=ctx.tenant_id, id=attempt_id).first()
