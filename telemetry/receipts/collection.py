"""Collection of the receipts that a call records, for answers that promise their inclusion in the log. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecordedReceipt:
    """Public id and stored bytes of a newly written receipt."""

    receipt_id: str
    body: bytes


_recorded: ContextVar[list[RecordedReceipt] | None] = ContextVar("recorded_receipts", default=None)


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
        recorded.append(RecordedReceipt(receipt_id, body))
