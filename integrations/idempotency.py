"""The key that a receiver can tell repetitions by."""

from __future__ import annotations

import uuid

from threada_site.kernel import ids


def receiver_key(execution_id: uuid.UUID) -> str:
    """What every attempt at one execution, and no other execution, sends as Idempotency-Key."""
    return ids.public_id(ids.EXECUTION, execution_id)
