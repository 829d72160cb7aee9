"""Attempts of deliveries as a list: scheduled ones, and requests of test events and of receipts to send again."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection
from django.db.models import Q, QuerySet

from telemetry.deliveries.rules import OPEN_ATTEMPTS, DeliveryFailure
from telemetry.lifecycle import DeliveryStatus
from telemetry.models import Delivery, DeliveryAttempt, LogLeaf
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.jobs.enqueue import DELIVERY_QUEUE, enqueue
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import Conflict, DeliveryBusy, FieldError, InvalidRequest, NotFound

if TYPE_CHECKING:
    from telemetry.deliveries.batches import Batch

RUN_ATTEMPT: Final = "integrations.run_delivery_attempt"
"""Name of the task that runs a requested attempt. Argument: `attempt_id`."""
ATTEMPTS_KEPT: Final = 200
"""Scheduled attempts that are kept of one delivery."""
MOST_RESENT: Final = 1000
"""Receipts of one request to send again."""
MOST_REQUESTS_AN_HOUR: Final = 60
MOST_RESENT_AN_HOUR: Final = 10_000
"""Limits of one delivery, so that it does not multiply traffic to its receiver."""
KEPT_FOR: Final = timedelta(days=30)
_TIDIED_EVERY: Final = 50
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended('delivery-attempts ' || %s, 0))"


def attempts(delivery: Delivery) -> QuerySet[DeliveryAttempt]:
    """Return the attempts of a delivery that are kept."""
    return DeliveryAttempt.objects.filter(tenant_id=delivery.tenant_id, delivery=delivery)


def note_attempt(batch: Batch, failure: DeliveryFailure | None, *, now: datetime) -> None:
    """Add a scheduled attempt to the list of the delivery, and delete the oldest ones now and then."""
    delivery = batch.delivery
    DeliveryAttempt.objects.create(
        tenant_id=delivery.tenant_id,
        delivery=delivery,
        purpose="scheduled",
        status="delivered" if failure is None else "failed",
        first_index=batch.receipts[0].index,
        last_index=batch.receipts[-1].index,
        events=len(batch.receipts),
        failure="" if failure is None else failure.failure,
        detail="" if failure is None else failure.detail[:500],
        finished_at=now,
    )
    if delivery.fence % _TIDIED_EVERY == 0:
        rows = attempts(delivery).filter(purpose="scheduled")
        kept = list(rows.order_by("-id").values_list("id", flat=True)[:ATTEMPTS_KEPT])
        rows.filter(id__lt=kept[-1]).delete()
        attempts(delivery).filter(created_at__lt=now - KEPT_FOR).exclude(status__in=OPEN_ATTEMPTS).delete()


def request_test_event(delivery: Delivery, *, ctx: ActingContext) -> DeliveryAttempt:
    """Send a test event to the target of a locked delivery, also if it is paused.

    Receipt `telemetry.delivery_test_requested`. Raises `DeliveryBusy`.
    """
    return _requested(delivery, "test", None, None, ctx=ctx)


def request_resend(
    delivery: Delivery, *, ctx: ActingContext, first: int | None = None, last: int | None = None, receipt: str = ""
) -> DeliveryAttempt:
    """Send one delivered receipt again, or those from log index `first` to `last`, by a locked, active delivery.

    Only receipts that the delivery selects are sent. Receipt `telemetry.delivery_resend_requested`. Raises `Conflict`,
    `InvalidRequest`, `NotFound` (no such receipt in the log), and `DeliveryBusy`.
    """
    if delivery.status != DeliveryStatus.ACTIVE:
        raise Conflict("The delivery is paused. Resume it first.")
    if receipt:
        first = last = _index_of(receipt, ctx=ctx)
    if first is None or last is None:
        raise InvalidRequest(
            errors=[FieldError("/receipt_id", "or first_index and last_index are required", "required")]
        )
    if not first <= last < delivery.next_index:
        said = f"must be from first_index to {delivery.next_index - 1}, the last delivered index"
        raise InvalidRequest(errors=[FieldError("/last_index", said, "invalid")])
    if last - first >= MOST_RESENT:
        raise InvalidRequest(errors=[FieldError("/last_index", f"allows {MOST_RESENT} receipts at most", "too_large")])
    return _requested(delivery, "resend", first, last, ctx=ctx)


def _index_of(receipt: str, *, ctx: ActingContext) -> int:
    receipt_id = ids.parse_public_id(ids.RECEIPT, receipt)
    rows = LogLeaf.objects.filter(tenant_id=ctx.tenant_id)
    found = None if receipt_id is None else rows.filter(id=receipt_id).values_list("index", flat=True).first()
    if found is None:
        raise NotFound("There is no sealed receipt with this id.")
    return found


def _requested(
    delivery: Delivery, purpose: str, first: int | None, last: int | None, *, ctx: ActingContext
) -> DeliveryAttempt:
    require_unit_of_work(ctx.tenant_id)
    _check_limits(delivery, number=0 if first is None or last is None else last - first + 1)
    row = DeliveryAttempt.objects.create(
        tenant_id=ctx.tenant_id,
        delivery=delivery,
        purpose=purpose,
        status="queued",
        first_index=first,
        last_index=last,
        requested_by=None if ctx.is_system else ctx.principal_id,
    )
    inputs: dict[str, Any] = {"delivery_id": delivery.slug, "delivery_attempt_id": row.public_id}
    if first is not None:
        inputs |= {"first_index": first, "last_index": last}
    record(Entry(kind=f"telemetry.delivery_{purpose}_requested", inputs=inputs), ctx=ctx)
    enqueue_attempt(ctx.tenant_id, row.id)
    return row


def enqueue_attempt(tenant_id: uuid.UUID, attempt_id: uuid.UUID) -> None:
    """Enqueue the job of a requested attempt."""
    enqueue(RUN_ATTEMPT, tenant_id=tenant_id, queue=DELIVERY_QUEUE, attempt_id=str(attempt_id))


def _check_limits(delivery: Delivery, *, number: int) -> None:
    """Raise `DeliveryBusy` if the tenant has an open attempt, or the delivery too many of the last hour.

    One attempt of a tenant is open at a time, so that slow receivers of one tenant do not hold all workers.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ONE_AT_A_TIME, [str(delivery.tenant_id)])
    if DeliveryAttempt.objects.filter(tenant_id=delivery.tenant_id, status__in=OPEN_ATTEMPTS).exists():
        raise DeliveryBusy(headers={"Retry-After": "5"})
    requested = attempts(delivery).exclude(purpose="scheduled")
    recent = requested.filter(created_at__gt=clock.now() - timedelta(hours=1))
    spans = recent.filter(Q(first_index__isnull=False)).values_list("first_index", "last_index")
    resent = sum(last - first + 1 for first, last in spans if first is not None and last is not None)
    if len(recent) >= MOST_REQUESTS_AN_HOUR or (number and resent + number > MOST_RESENT_AN_HOUR):
        raise DeliveryBusy(
            f"In an hour, a delivery takes {MOST_REQUESTS_AN_HOUR} requests and sends {MOST_RESENT_AN_HOUR} receipts "
            "again.",
            headers={"Retry-After": "3600"},
        )
