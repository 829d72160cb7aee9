"""What a change of the sealing key leaves in the ledger."""

from __future__ import annotations

from telemetry.receipts import Entry
from telemetry.services.record import record
from threada_site.kernel.context import ActingContext


def record_key_change(step: str, *, keys: dict[str, str], ctx: ActingContext) -> None:
    """Append `sealing_key.<step>` (`announced`, `retired`, `replaced`): public keys by what they are now."""
    record(Entry(kind=f"sealing_key.{step}", outcome=dict(keys)), ctx=ctx)
