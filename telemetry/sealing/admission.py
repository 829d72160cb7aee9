"""Admission of queued receipts to a log: a receipt that is refused goes to the quarantine, and the queue goes on.

Pure. Imports no Django.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson

from telemetry.log.store import QueuedReceipt
from telemetry.receipts.signature import OriginState
from telemetry.tlog.checkpoint import CLOCKS_DIFFER, COMPLETE_AFTER
from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339

MISSING: Final = "receipt_missing"
SEALED_ALREADY: Final = "sealed_already"
MALFORMED: Final = "malformed"
TIME_DIFFERS: Final = "time_differs"
TOO_OLD: Final = "older_than_log"
OLDER_THAN_TENANT: Final = "older_than_tenant"
IN_THE_FUTURE: Final = "in_the_future"
UNSIGNED: Final = "unsigned"
INVALID_SIGNATURE: Final = "invalid_signature"


@dataclass(frozen=True, slots=True)
class Admission:
    """Rules for receipts of one tenant, at the time `at` of sealing.

    `complete_until`: the time in the newest checkpoint of the log. None if it names none. `signed_from`: the index from
    which on receipts are signed. None as long as processes may write that do not sign.
    """

    tenant_id: uuid.UUID
    at: datetime
    complete_until: datetime | None = None
    signed_from: int | None = None

    def reasons(
        self, queued: Sequence[QueuedReceipt], origins: Mapping[uuid.UUID, OriginState], *, size: int
    ) -> dict[uuid.UUID, str | None]:
        """Return the reason why each receipt is not sealed, or None, for a log of `size` leaves."""
        found: dict[uuid.UUID, str | None] = {}
        for one in queued:
            found[one.id] = self.refusal(one, origins.get(one.id), index=size)
            size += found[one.id] is None
        return found

    def refusal(self, queued: QueuedReceipt, origin: OriginState | None = None, *, index: int = 0) -> str | None:
        """Return the reason why the receipt is not sealed as leaf `index`, or None. `origin` is None if no keys are
        known."""
        if queued.body is None:
            return MISSING
        if queued.is_sealed:
            return SEALED_ALREADY
        occurred_at = ids.instant_of(queued.id)
        wrong = self._malformed(queued.id, queued.body, occurred_at) or self._out_of_time(occurred_at)
        if wrong or origin in (None, OriginState.AUTHENTIC):
            return wrong
        if origin is OriginState.INVALID:
            return INVALID_SIGNATURE
        return UNSIGNED if self.signed_from is not None and index >= self.signed_from else None

    def _malformed(self, receipt_id: uuid.UUID, body: bytes, occurred_at: datetime) -> str | None:
        try:
            receipt = orjson.loads(body)
            named = (receipt["id"], receipt["tenant"])
            stated = receipt["occurred_at"]
        except (ValueError, KeyError, TypeError):
            return MALFORMED
        if named != (ids.public_id(ids.RECEIPT, receipt_id), ids.public_id(ids.TENANT, self.tenant_id)):
            return MALFORMED
        return None if receipt_id.version == 7 and stated == rfc3339(occurred_at) else TIME_DIFFERS

    def _out_of_time(self, occurred_at: datetime) -> str | None:
        if occurred_at > self.at + CLOCKS_DIFFER:
            return IN_THE_FUTURE
        if self.tenant_id.version == 7 and occurred_at < ids.instant_of(self.tenant_id) - CLOCKS_DIFFER:
            return OLDER_THAN_TENANT
        if self.complete_until is not None and occurred_at < self.complete_until:
            return TOO_OLD
        return None


def complete_until(*, at: datetime, oldest_queued: datetime | None, before: datetime | None) -> datetime:
    """Return the time until which a log is complete that is signed at `at`.

    `oldest_queued`: the time of the oldest receipt still queued. `before`: the time in the checkpoint before.
    """
    found = at - COMPLETE_AFTER
    if oldest_queued is not None:
        found = min(found, oldest_queued)
    return found if before is None else max(found, before)
