"""The field `receipt_promise` of answers."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from threada_site.kernel.context import ActingContext


def receipt_promise(ctx: ActingContext) -> dict[str, Any] | None:
    """Return the inclusion promise for the receipts that `ctx` collected; None if promises are off."""
    if not settings.THREADA_INCLUSION_PROMISES:
        return None
    from telemetry.inclusion_promises.promise import inclusion_promise  # loaded only if promises are on

    return inclusion_promise(ctx)
