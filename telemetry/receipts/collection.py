"""Collection of the receipts that a request writes, for inclusion promises. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from telemetry.tlog.hashing import leaf_hash


@dataclass(frozen=True, slots=True)
class RecordedReceipt:
    """Public id and leaf hash of a newly written receipt."""

    receipt_id: str
    leaf: bytes


_recorded: ContextVar[list[RecordedReceipt] | None] = ContextVar("noted_receipts", default=None)


@contextmanager
def collect_recorded_receipts() -> Iterator[list[RecordedReceipt]]:
    """Collect every receipt written inside the context, in order."""
    recorded: list[RecordedReceipt] = []
    token = _recorded.set(recorded)
    try:
        yield recorded
    finally:
        _recorded.reset(token)


def collect_receipt(receipt_id: str, body: bytes) -> None:
    """Add a receipt to the open collection, if there is one."""
    recorded = _recorded.get()
    if recorded is not None:
        recorded.append(RecordedReceipt(receipt_id, leaf_hash(body)))
