"""Receipts of a sealing key rotation."""

from __future__ import annotations

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.kernel.context import ActingContext


def record_key_change(step: str, *, keys: dict[str, str], ctx: ActingContext) -> None:
    """Record the receipt `sealing_key.<step>` (`announced`, `retired`, `replaced`) with the public keys by role."""
    record(Entry(kind=f"sealing_key.{step}", outcome=dict(keys)), ctx=ctx)
