"""Decisions of operators about receipts that the sealer refused. The sealer carries them out within a second."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from dataclasses import replace
from itertools import batched
from typing import Final

from telemetry.models import QuarantinedReceipt
from telemetry.receipts.format import Entry
from telemetry.receipts.quarantine_decisions import ACCEPTED, DISCARDED
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext

IN_WORDS: Final = {
    "receipt_missing": "it was queued, and there is no such receipt",
    "sealed_already": "it is sealed already",
    "malformed": "its bytes are not those of a receipt with this id and tenant",
    "time_differs": "its id is of another time than it says",
    "older_than_log": "the log was said to be complete at its time (if a clock was ahead: manage.py acknowledge_log)",
    "older_than_tenant": "it is older than its tenant",
    "in_the_future": "its time is in the future",
    "unsigned": "no process of the product signed it",
    "invalid_signature": "its signature is not valid",
}
"""Reasons of the sealer, for people."""
_AT_ONCE: Final = 500


def quarantined(tenant_id: uuid.UUID, receipt_ids: Collection[str] = ()) -> list[QuarantinedReceipt]:
    """Return the receipts in quarantine with these public ids, or all. Raise `NotFound` for an unknown id."""
    require_unit_of_work(tenant_id)
    rows = QuarantinedReceipt.objects.filter(tenant_id=tenant_id).order_by("id")
    if not receipt_ids:
        return list(rows)
    wanted = {text: ids.parse_public_id(ids.RECEIPT, text) for text in receipt_ids}
    found = list(rows.filter(id__in=[value for value in wanted.values() if value]))
    if missing := sorted(text for text, value in wanted.items() if value not in {row.id for row in found}):
        raise errors.NotFound(f"There is no receipt {missing[0]} in quarantine.")
    return found


def decide_quarantined(rows: Iterable[QuarantinedReceipt], *, accepts: bool, reason: str, ctx: ActingContext) -> int:
    """Record that an operator accepts or discards these receipts. Return their number.

    Receipt `quarantine.accepted` or `quarantine.discarded`. The sealer appends accepted ones to the log, after the
    receipt of the decision, and deletes the others.
    """
    require_unit_of_work(ctx.tenant_id)
    number = 0
    for some in batched(rows, _AT_ONCE):
        number += len(some)
        named = [
            {
                "receipt_id": row.public_id,
                "sha256": (row.receipt or {}).get("body_sha256", ""),
                "kind": (row.receipt or {}).get("kind", ""),
                "reason": row.reason,
            }
            for row in some
        ]
        kind = ACCEPTED if accepts else DISCARDED
        record(
            Entry(kind=kind, inputs={"receipts": named}, outcome={"receipts": len(some)}),
            ctx=replace(ctx, reason=reason),
        )
    return number
