"""Receipts of refused requests, written after the refused work was rolled back.

`request.refused` is about one request. `requests.refused` is about the requests of one sender, reason and minute beyond
the rate at which refusals get receipts of their own.
"""

from __future__ import annotations

import re
import uuid
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import connection

from telemetry.models import RefusalCount
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from telemetry.receipts.refusal_counts import INTERVAL, STORED_AFTER_S, counts
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError

_WORD: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}|")
_GRACE_S: Final = 3 * STORED_AFTER_S
"""Seconds after an interval in which processes still store its counts."""

# Deleting the rows and recording their sum in one transaction makes two jobs at once safe.
_TAKE: Final = """
WITH taken AS (DELETE FROM telemetry_refusalcount WHERE tenant_id = %s AND "interval" < %s RETURNING *)
SELECT "interval", principal_id, credential_id, reason_code, sum(count), min(first_at), max(last_at)
  FROM taken GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""

log = structlog.get_logger("threada.refusals")


def named_path(path: str) -> str:
    """Return the path for a receipt: words and ids only.

    Any other segment is replaced by `*`, since it may contain anything.
    """
    return "/".join(part if _WORD.fullmatch(part) else "*" for part in path[:500].split("/"))


def is_beyond_rate(ctx: ActingContext, error: ThreadaError, *, reserves: bool = True) -> bool:
    """Count a refusal of `ctx`. Return True if its sender has had enough receipts with this reason in this minute.

    `reserves`: False to count only a refusal for which that is so.
    """
    return counts.is_beyond_rate(ctx, error.reason_code, reserves=reserves)


def count_refusal(tenant_id: uuid.UUID, reason_code: str) -> None:
    """Count a refusal in a tenant whose sender is not known. It gets no receipt of its own."""
    counts.count(tenant_id, reason_code)


def record_refusal(
    context: ActingContext | None, error: ThreadaError, *, method: str, path: str, subject: Subject | None = None
) -> None:
    """Record the receipt `request.refused`. Without a context, the refusal is only logged."""
    log.info("request_refused", reason_code=error.reason_code, method=method, path=named_path(path))
    if context is None:
        return
    record(
        Entry(
            kind="request.refused",
            subject=subject or Subject(),
            inputs={"method": method, "path": named_path(path)},
            outcome={
                "reason_code": error.reason_code,
                "category": error.category.value,
                "status": error.status,
                "errors": [f"{entry.pointer} {entry.code}"[:300] for entry in error.errors][:20],
                "reasons": [
                    {key: reason[key] for key in ("reason", "policy", "rule") if key in reason}
                    for reason in error.reasons
                ],
            },
            reason_codes=(error.reason_code,),
        ),
        ctx=context,
    )


def tenants_with_counts(*, now: datetime) -> list[uuid.UUID]:
    """Return the tenants with counted refusals of finished intervals."""
    with platform_role():
        rows = RefusalCount.objects.filter(interval__lt=_finished_before(now))
        return list(rows.order_by("tenant_id").values_list("tenant_id", flat=True).distinct())


def record_counted_refusals(*, now: datetime, ctx: ActingContext) -> int:
    """Record one receipt `requests.refused` per sender, reason and finished interval. Return the number of receipts.

    Counts that a process stores later get another receipt.
    """
    require_unit_of_work(ctx.tenant_id, reads_cases=False)
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [ctx.tenant_id, _finished_before(now)])
        taken = cursor.fetchall()
    for interval, principal_id, credential_id, reason_code, count, first_at, last_at in taken:
        sender = {
            "principal": principal_id and ids.public_id(ids.PRINCIPAL, principal_id),
            "credential": credential_id and ids.public_id(ids.CREDENTIAL, credential_id),
        }
        record(
            Entry(
                kind="requests.refused",
                inputs={name: value for name, value in sender.items() if value},
                outcome={
                    "reason_code": reason_code,
                    "count": int(count),
                    "interval": rfc3339(interval),
                    "first_at": rfc3339(first_at),
                    "last_at": rfc3339(last_at),
                },
                reason_codes=(reason_code,),
            ),
            ctx=ctx,
        )
    return len(taken)


def _finished_before(now: datetime) -> datetime:
    """Return the time before which an interval must begin to be finished and stored."""
    return now - INTERVAL - timedelta(seconds=_GRACE_S)
