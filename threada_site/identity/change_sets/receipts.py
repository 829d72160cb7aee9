"""Receipts of change sets."""

from __future__ import annotations

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.authority_models import ChangeSet


def record_change_set(kind: str, change_set: ChangeSet, *, ctx: ActingContext) -> None:
    """Record a receipt of a change set: rule, operation, digest and proposer, without the contents."""
    proposer = ids.public_id(ids.PRINCIPAL, change_set.proposed_by) if change_set.proposed_by else None
    inputs = {
        "change_set_id": change_set.public_id,
        "rule": change_set.rule,
        "operation": change_set.operation,
        "digest": change_set.digest,
        "proposed_by": proposer,
    }
    record(Entry(kind=kind, inputs=inputs, outcome={"status": str(change_set.status)}), ctx=ctx)
