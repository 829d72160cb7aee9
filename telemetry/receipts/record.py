"""Recording of receipts, in the transaction of the change that they record."""

from __future__ import annotations

from telemetry.models import Receipt, SealQueueEntry
from telemetry.receipts.format import Entry, body_bytes
from threada_site.database.batched_writes import insert_rows
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import sha256_hex


def _receipt_rows(entry: Entry, *, ctx: ActingContext) -> list[Receipt | SealQueueEntry]:
    """Return the unsaved rows of a receipt, for services that insert all rows in one statement."""
    require_unit_of_work(ctx.tenant_id)
    receipt_id = ids.new_uuid()
    occurred_at = ids.instant_of(receipt_id)
    body = body_bytes(entry, ctx, receipt_id=receipt_id, occurred_at=occurred_at)
    if ctx.recorded_receipts is not None:
        ctx.recorded_receipts.append((ids.public_id(ids.RECEIPT, receipt_id), body))
    subject = entry.subject
    return [
        Receipt(
            id=receipt_id,
            tenant_id=ctx.tenant_id,
            kind=entry.kind,
            occurred_at=occurred_at,
            actor_id=None if ctx.is_system else ctx.principal_id,
            work_item_id=subject.work_item_id,
            execution_id=subject.execution_id,
            workflow=subject.workflow,
            channel=subject.channel,
            integration=subject.integration,
            status=subject.status,
            policy_version_id=subject.policy_version_id,
            reason_codes=list(entry.reason_codes),
            correlation_id=ctx.correlation_id,
            body=body,
            body_sha256=sha256_hex(body),
        ),
        SealQueueEntry(id=receipt_id, tenant_id=ctx.tenant_id),
    ]


def record(entry: Entry, *, ctx: ActingContext) -> None:
    """Append one receipt."""
    insert_rows(*_receipt_rows(entry, ctx=ctx))
