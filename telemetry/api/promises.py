"""The field `receipt_promise` of answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings

from telemetry.receipts.collection import RecordedReceipt
from threada_site.kernel.context import ActingContext


def receipt_promise(recorded: Sequence[RecordedReceipt], *, ctx: ActingContext) -> dict[str, Any] | None:
    """Return the inclusion promise for the receipts of a call; None if promises are off. Call it after the commit."""
    if not settings.THREADA_INCLUSION_PROMISES:
        return None
    from telemetry.inclusion_promises.promise import inclusion_promise  # loaded only if promises are on

    return inclusion_promise(recorded, ctx=ctx)
