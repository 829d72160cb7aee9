"""Receipts as CloudEvents, for deliveries."""

from __future__ import annotations

from telemetry.deliveries.batches import SealedReceipt
from telemetry.exports.formats.cloudevents import deleted_event_bytes, event_bytes
from telemetry.models import Delivery
from threada_site.kernel import ids


def event_of(receipt: SealedReceipt, delivery: Delivery) -> bytes:
    """Return the event for a leaf of the log. `sequence` is the log index, which is dense, so that a gap is visible.

    A test event has no index and no sequence.
    """
    if receipt.index < 0 and receipt.body is not None:
        return event_bytes(receipt.body)
    sequence = str(receipt.index)
    if receipt.body is None:
        tenant = ids.public_id(ids.TENANT, delivery.tenant_id)
        return deleted_event_bytes(receipt.receipt_id, tenant=tenant, leaf_hash=receipt.leaf_hash, sequence=sequence)
    return event_bytes(receipt.body, sequence=sequence)
