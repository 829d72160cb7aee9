"""Continuous delivery: leasing due batches, recording results, pausing and resuming.

The tenant's log defines order and sequence numbers: the index is dense, and a receipt that commits late gets a later
index, so that reading from an index skips nothing. Sending is done elsewhere, outside any transaction.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection

from telemetry.deliveries.attempt_list import note_attempt
from telemetry.deliveries.rules import Accepted, DeliveryFailure, retry_delay
from telemetry.lifecycle import DELIVERY, DeliveryStatus
from telemetry.models import Delivery
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from telemetry.selectors import log_size
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.quotas.kinds import Quota
from threada_site.tenancy.quotas.require import require_quota
from threada_site.tenancy.upsert import Change, UpsertResult

LEASE: Final = timedelta(seconds=45)
RECORDS_REJECTED: Final = "records_rejected"
BATCH_EVENTS: Final = 200
BATCH_BYTES: Final = 512 * 1024
_WINDOW: Final = 1000
_MOST_WINDOWS: Final = 20
"""Leaves that are read at once, and windows of them, to find selected receipts."""
_LEAVES: Final = """
SELECT l.index, l.id, l.hash, CASE WHEN s.is_selected THEN r.body END, s.is_selected
  FROM telemetry_logleaf l
  LEFT JOIN telemetry_receipt r ON r.id = l.id AND r.tenant_id = l.tenant_id
 CROSS JOIN LATERAL (SELECT coalesce(
           (%(kinds)s::text[] IS NULL OR r.kind = ANY(%(kinds)s::text[]))
       AND (%(workflows)s::text[] IS NULL OR r.workflow = ANY(%(workflows)s::text[])), FALSE) AS is_selected) s
 WHERE l.tenant_id = %(tenant)s AND l.index >= %(start)s AND l.index < %(end)s ORDER BY l.index
"""


@dataclass(frozen=True, slots=True)
class SealedReceipt:
    """One leaf of the tenant's log. `body` is None if retention deleted the receipt; index and hash remain."""

    index: int
    receipt_id: str
    written_at: datetime
    leaf_hash: bytes
    body: bytes | None
    is_selected: bool = True


@dataclass(frozen=True, slots=True)
class Batch:
    """The receipts of one attempt, in the order of the log, and the index after the last leaf that was read.

    Without a selection of kinds and workflows, they are all leaves from `delivery.next_index`. `name` replaces the
    delivery in the message id of a requested attempt.
    """

    delivery: Delivery
    receipts: list[SealedReceipt]
    end: int
    name: str = ""

    @property
    def message_id(self) -> str:
        """Return the id by which receivers recognize a repeated message."""
        if self.name:
            return f"{self.name}.{self.receipts[0].index}-{self.receipts[-1].index}"
        chosen = [self.delivery.kinds, self.delivery.workflows]
        selection = f".{canonical_sha256(chosen)[:8]}" if any(chosen) else ""
        return f"{self.delivery.public_id}.{self.delivery.next_index}-{self.end - 1}{selection}"


def upsert_delivery(
    slug: str,
    *,
    target: str,
    url: str,
    secret: dict[str, str] | None,
    headers: dict[str, str],
    kinds: Sequence[str],
    workflows: Sequence[str],
    from_beginning: bool,
    ctx: ActingContext,
) -> UpsertResult[Delivery]:
    """Create or change the delivery `slug`. An existing one keeps its position.

    Raises `QuotaExceeded`, and `Conflict` if the kind of target would change. The caller checks that the address may be
    called and that the secret may be referenced.
    """
    require_unit_of_work(ctx.tenant_id)
    made = Delivery(
        tenant_id=ctx.tenant_id,
        slug=slug,
        target=target,
        url=url,
        secret=secret,
        headers=headers,
        kinds=sorted(set(kinds)),
        workflows=sorted(set(workflows)),
        next_index=0 if from_beginning else log_size(ctx.tenant_id),
        created_by=None if ctx.is_system else ctx.principal_id,
    )
    Delivery.objects.bulk_create([made], ignore_conflicts=True)
    found = _live(ctx.tenant_id).select_for_update().get(slug=slug)
    if found.id == made.id:
        require_quota(Quota.DELIVERIES, including=1, ctx=ctx)
        _record("telemetry.delivery_configured", found, ctx=ctx, from_index=found.next_index, **_place(found))
        return UpsertResult(found, Change.CREATED)
    if found.target != target:
        raise errors.Conflict(f"The delivery {slug} goes to a {found.target}. Remove it, or choose another id.")
    names = ("url", "secret", "headers", "kinds", "workflows")
    if all(getattr(found, name) == getattr(made, name) for name in names):
        return UpsertResult(found, Change.UNCHANGED)
    for name in names:
        setattr(found, name, getattr(made, name))
    found.save(update_fields=names)
    _record("telemetry.delivery_configured", found, ctx=ctx, **_place(found))
    return UpsertResult(found, Change.CHANGED)


def pause_delivery(
    delivery: Delivery, *, now: datetime, ctx: ActingContext, failure: DeliveryFailure | None = None
) -> None:
    """Stop sending until somebody resumes the delivery: by request, or automatically after `failure`.

    The caller has locked `delivery`.
    """
    require_unit_of_work(ctx.tenant_id)
    _move(delivery, DeliveryStatus.PAUSED)
    delivery.paused_at, delivery.next_try_at = now, None
    if failure is None:
        delivery.failure, delivery.detail, delivery.failing_since, delivery.attempts = "", "", None, 0
    delivery.save(
        update_fields=["status", "paused_at", "next_try_at", "failure", "detail", "failing_since", "attempts"]
    )
    codes = (failure.failure,) if failure is not None else ()
    _record("telemetry.delivery_paused", delivery, ctx=ctx, codes=codes, next_index=delivery.next_index)


def resume_delivery(delivery: Delivery, *, ctx: ActingContext) -> None:
    """Continue immediately from the current position. The caller has locked `delivery`.

    Raises `TransitionNotAllowed`.
    """
    require_unit_of_work(ctx.tenant_id)
    _move(delivery, DeliveryStatus.ACTIVE)
    delivery.paused_at = delivery.next_try_at = delivery.failing_since = None
    delivery.failure, delivery.detail, delivery.attempts = "", "", 0
    delivery.save(
        update_fields=["status", "paused_at", "next_try_at", "failing_since", "failure", "detail", "attempts"]
    )
    _record("telemetry.delivery_resumed", delivery, ctx=ctx, next_index=delivery.next_index)


def remove_delivery(delivery: Delivery, *, ctx: ActingContext) -> None:
    """Remove the delivery permanently. The caller has locked `delivery`. Raises `TransitionNotAllowed`."""
    require_unit_of_work(ctx.tenant_id)
    _move(delivery, DeliveryStatus.REMOVED)
    delivery.save(update_fields=["status"])
    _record("telemetry.delivery_removed", delivery, ctx=ctx, next_index=delivery.next_index)


def lease_batch(delivery_id: uuid.UUID, *, now: datetime, ctx: ActingContext) -> Batch | None:
    """Lease the due batch to the caller. Return None if the delivery is paused, waiting, leased, or up to date."""
    require_unit_of_work(ctx.tenant_id)
    found = Delivery.objects.select_for_update().filter(tenant_id=ctx.tenant_id, id=delivery_id).first()
    if (
        found is None
        or found.status != DeliveryStatus.ACTIVE
        or (found.next_try_at is not None and found.next_try_at > now)
        or (found.lease_until is not None and found.lease_until > now)
    ):
        return None
    receipts, end = _next_receipts(found)
    if not receipts:
        if end > found.next_index:
            found.next_index, found.batch_end = end, None
            found.save(update_fields=["next_index", "batch_end"])
        return None
    found.batch_end = end
    found.lease_until = now + LEASE
    found.fence += 1
    found.save(update_fields=["next_index", "batch_end", "lease_until", "fence"])
    return Batch(found, receipts, end)


def _next_receipts(delivery: Delivery) -> tuple[list[SealedReceipt], int]:
    """Return the next selected receipts and the index after the last leaf read; move over leaves before a batch.

    A batch in progress keeps its end.
    """
    if delivery.batch_end is not None:
        return selected_receipts(delivery, start=delivery.next_index, end=delivery.batch_end), delivery.batch_end
    end = delivery.next_index
    for _ in range(_MOST_WINDOWS):
        size = _WINDOW if delivery.kinds or delivery.workflows else BATCH_EVENTS
        leaves = sealed_receipts(delivery, start=end, end=end + size)
        selected = [leaf for leaf in leaves if leaf.is_selected]
        chosen = fitting(selected)
        if chosen:
            delivery.next_index = end
            return chosen, (leaves if len(chosen) == len(selected) else chosen)[-1].index + 1
        end += len(leaves)
        if len(leaves) < size:
            break
    return [], end


def selected_receipts(delivery: Delivery, *, start: int, end: int) -> list[SealedReceipt]:
    """Return the leaves of the log from `start` to `end` (exclusive) that the delivery selects."""
    return [leaf for leaf in sealed_receipts(delivery, start=start, end=end) if leaf.is_selected]


def settle_delivered(batch: Batch, taken: Accepted, *, now: datetime, ctx: ActingContext) -> bool:
    """Record that the receiver accepted the batch. Return False, and change nothing, if another worker holds the lease.

    Rejected receipts are not sent again. The row counts them; one receipt records them, until a whole batch is
    accepted.
    """
    delivery = _still_ours(batch, ctx=ctx)
    if delivery is None:
        return False
    was_rejecting = delivery.failure == RECORDS_REJECTED
    delivery.next_index, delivery.batch_end = batch.end, None
    delivery.lease_until = delivery.next_try_at = delivery.failing_since = None
    delivery.attempts, delivery.delivered_at, delivery.file_size = 0, now, taken.file_size
    delivery.rejected += taken.rejected
    if delivery.status == DeliveryStatus.ACTIVE:
        delivery.failure, delivery.detail = (RECORDS_REJECTED, taken.detail) if taken.rejected else ("", "")
    delivery.save()
    note_attempt(batch, None, now=now)
    if taken.rejected and not was_rejecting:
        _record(
            "telemetry.delivery_records_rejected",
            delivery,
            ctx=ctx,
            codes=(RECORDS_REJECTED,),
            from_index=batch.receipts[0].index,
            next_index=batch.end,
            rejected=taken.rejected,
        )
    return True


def settle_failed(
    batch: Batch, failure: DeliveryFailure, *, now: datetime, ctx: ActingContext, rng: random.Random
) -> None:
    """Record that the receiver did not accept the batch.

    The same batch is sent again, or the delivery pauses itself.
    """
    delivery = _still_ours(batch, ctx=ctx)
    if delivery is None:
        return
    delivery.lease_until = None
    delivery.attempts += 1
    delivery.failure, delivery.detail = failure.failure, failure.detail[:500]
    delivery.failing_since = delivery.failing_since or now
    wait = retry_delay(failure, attempts=delivery.attempts, most=settings.THREADA_DELIVERY_TRIES, rng=rng)
    delivery.next_try_at = None if wait is None else now + timedelta(seconds=wait)
    delivery.save()
    note_attempt(batch, failure, now=now)
    if wait is None and delivery.status == DeliveryStatus.ACTIVE:
        pause_delivery(delivery, now=now, ctx=ctx, failure=failure)


def sealed_receipts(delivery: Delivery, *, start: int, end: int) -> list[SealedReceipt]:
    """Return consecutive leaves of the log from `start` to `end` (exclusive), or fewer at the end of the log.

    Leaves that the delivery does not select have no body. Raises `RuntimeError` if the log has a gap, which means that
    signed leaves are missing.
    """
    tenant_id = delivery.tenant_id
    with connection.cursor() as cursor:
        cursor.execute(
            _LEAVES,
            {
                "tenant": tenant_id,
                "start": start,
                "end": end,
                "kinds": delivery.kinds or None,
                "workflows": delivery.workflows or None,
            },
        )
        found = [
            SealedReceipt(
                index,
                ids.public_id(ids.RECEIPT, leaf_id),
                ids.instant_of(leaf_id),
                bytes(hashed),
                None if body is None else bytes(body),
                is_selected,
            )
            for index, leaf_id, hashed, body, is_selected in cursor.fetchall()
        ]
    if [receipt.index for receipt in found] != list(range(start, start + len(found))):
        raise RuntimeError(f"the log of tenant {tenant_id} has a gap after {start}")
    return found


def fitting(receipts: list[SealedReceipt]) -> list[SealedReceipt]:
    """Return the first receipts, as many as fit into one message."""
    size = 0
    for count, receipt in enumerate(receipts[:BATCH_EVENTS]):
        size += len(receipt.body or b"")
        if count and size > BATCH_BYTES:
            return receipts[:count]
    return receipts[:BATCH_EVENTS]


def _live(tenant_id: uuid.UUID) -> Any:
    return Delivery.objects.filter(tenant_id=tenant_id).exclude(status=DeliveryStatus.REMOVED)


def _still_ours(batch: Batch, *, ctx: ActingContext) -> Delivery | None:
    require_unit_of_work(ctx.tenant_id)
    return (
        Delivery.objects.select_for_update()
        .filter(tenant_id=ctx.tenant_id, id=batch.delivery.id, fence=batch.delivery.fence)
        .first()
    )


def _move(delivery: Delivery, to: DeliveryStatus) -> None:
    DELIVERY.check_transition(DeliveryStatus(delivery.status), to)
    delivery.status = to


def _place(delivery: Delivery) -> dict[str, Any]:
    place: dict[str, Any] = {"target": delivery.target}
    if delivery.target != "file":
        place |= {"url": delivery.url, "secret": delivery.secret}
    names = ("headers", "kinds", "workflows")
    return place | {name: value for name in names if (value := getattr(delivery, name))}


def _record(kind: str, delivery: Delivery, *, ctx: ActingContext, codes: tuple[str, ...] = (), **inputs: Any) -> None:
    record(Entry(kind=kind, inputs={"delivery_id": delivery.slug, **inputs}, reason_codes=codes), ctx=ctx)
