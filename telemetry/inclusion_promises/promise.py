"""Inclusion promises in API responses, signed by a key of the web process that the sealer has endorsed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.conf import settings

from telemetry.inclusion_promises.statement import (
    PROMISE_KEY,
    inclusion_promise_public_key,
    sign_inclusion_promise,
)
from telemetry.models import InclusionPromiseKey
from telemetry.receipts.collection import collected_receipts
from threada_site.kernel import clock, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext

_KNOWN_S: Final = 60.0
_MISSED_S: Final = 5.0


@dataclass(slots=True)
class _CachedEndorsement:
    """The sealer's newest endorsement of this process's key.

    Cached for a minute, so that responses cost no statement.
    """

    note: str | None = None
    until: float = float("-inf")


_cached_endorsement = _CachedEndorsement()


def inclusion_promise(ctx: ActingContext) -> dict[str, Any] | None:
    """Return the inclusion promise for the receipts that `ctx` collected, or None while the key has no endorsement."""
    endorsement = _endorsement()
    if endorsement is None or not ctx.recorded_receipts:
        return None
    recorded = collected_receipts(ctx)
    given = clock.now().replace(microsecond=0)
    due = given + timedelta(seconds=settings.THREADA_PROMISE_SECONDS)
    promise = sign_inclusion_promise(
        recorded,
        instance=endorsement.partition("\n")[0].removesuffix(f"/{PROMISE_KEY}"),
        tenant=ids.public_id(ids.TENANT, ctx.tenant_id),
        secret=settings.THREADA_PROMISE_KEY,
        given=given,
        due=due,
    )
    return {
        "promise": str(promise),
        "promise_key": endorsement,
        "due_at": rfc3339(due),
        "receipt_ids": [receipt.receipt_id for receipt in recorded],
    }


def clear_endorsement_cache() -> None:
    """Read the endorsement again at the next promise."""
    _cached_endorsement.until = float("-inf")


def _endorsement() -> str | None:
    now = time.monotonic()
    if now >= _cached_endorsement.until:
        public_key = inclusion_promise_public_key(settings.THREADA_PROMISE_KEY)
        _cached_endorsement.note = _newest_endorsement(public_key)
        _cached_endorsement.until = now + (_KNOWN_S if _cached_endorsement.note else _MISSED_S)
    return _cached_endorsement.note


def _newest_endorsement(public_key: bytes) -> str | None:
    """Return the sealer's newest endorsement of this inclusion promise key, or None if there is none yet."""
    rows = InclusionPromiseKey.objects.filter(public_key=public_key).order_by("-id")
    return rows.values_list("note", flat=True).first()
