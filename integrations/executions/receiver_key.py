"""Idempotency key for receivers. Pure."""

from __future__ import annotations

import uuid

from threada_site.kernel import ids


def receiver_key(execution_id: uuid.UUID) -> str:
    """Return the Idempotency-Key of an execution: the same for all of its attempts, different for all other
    executions."""
    return ids.public_id(ids.EXECUTION, execution_id)
