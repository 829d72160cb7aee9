"""Receipts of refused requests, written after the refused work was rolled back."""

from __future__ import annotations

import re
from typing import Final

import structlog

from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError

_WORD: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}|")

log = structlog.get_logger("threada.refusals")


def named_path(path: str) -> str:
    """Return the path for a receipt: words and ids only.

    Any other segment is replaced by `*`, since it may contain anything.
    """
    return "/".join(part if _WORD.fullmatch(part) else "*" for part in path[:500].split("/"))


def record_refusal(
    context: ActingContext | None, error: ThreadaError, *, method: str, path: str, subject: Subject | None = None
) -> None:
    """Record the receipt `request.refused`. Without a known tenant, the refusal is only logged."""
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
