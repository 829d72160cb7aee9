"""Collection of the receipts that a call records, for answers that promise their inclusion in the log. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from threada_site.kernel.context import ActingContext


@dataclass(frozen=True, slots=True)
class RecordedReceipt:
    """Public id and stored bytes of a newly written receipt."""

    receipt_id: str
    body: bytes


def collecting_receipts(ctx: ActingContext) -> ActingContext:
    """Return `ctx` with an empty collection. Pass it to the services whose receipts the answer promises."""
    return replace(ctx, recorded_receipts=[])


def collected_receipts(ctx: ActingContext) -> list[RecordedReceipt]:
    """Return the receipts that were written with `ctx`, in order."""
    return [RecordedReceipt(receipt_id, body) for receipt_id, body in ctx.recorded_receipts or ()]
