"""Signing promises in answers: by a key of the web's own, which the sealer has vouched for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.conf import settings

from telemetry.inclusion_promises import PROMISE_KEY, Noted, promise_public_key, signed_promise
from telemetry.selectors import note_of_promise_key
from threada_site.kernel import clock, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext

_KNOWN_S: Final = 60.0
_MISSED_S: Final = 5.0


@dataclass(slots=True)
class _Vouched:
    """The newest note of the sealer about this process's key, looked up once a minute: no statement an answer."""

    note: str | None = None
    until: float = float("-inf")


_vouched = _Vouched()


def receipt_promise(noted: Sequence[Noted], *, ctx: ActingContext) -> dict[str, Any] | None:
    """The promise for what a call has recorded, for its answer; None while the sealer has not vouched for the key.

    It leaves with the answer, so after the commit: what is promised was written.
    """
    key_note = _key_note()
    if key_note is None or not noted:
        return None
    given = clock.now().replace(microsecond=0)
    due = given + timedelta(seconds=settings.THREADA_PROMISE_SECONDS)
    promise = signed_promise(
        noted,
        instance=key_note.partition("\n")[0].removesuffix(f"/{PROMISE_KEY}"),
        tenant=ids.public_id(ids.TENANT, ctx.tenant_id),
        secret=settings.THREADA_PROMISE_KEY,
        given=given,
        due=due,
    )
    return {
        "promise": str(promise),
        "promise_key": key_note,
        "due_at": rfc3339(due),
        "receipt_ids": [receipt.receipt_id for receipt in noted],
    }


def forget_promise_key() -> None:
    """Look the sealer's note up anew at the next promise."""
    _vouched.until = float("-inf")


def _key_note() -> str | None:
    now = time.monotonic()
    if now >= _vouched.until:
        public_key = promise_public_key(settings.THREADA_PROMISE_KEY)
        _vouched.note = note_of_promise_key(public_key)
        _vouched.until = now + (_KNOWN_S if _vouched.note else _MISSED_S)
    return _vouched.note
