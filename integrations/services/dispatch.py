"""The seam between an execution and whatever runs it.

The engine only reminds: `run_execution` (in workitems) claims on the Execution row; a reminder too many is harmless.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from threada_site.tenancy.jobs import DEFAULT_QUEUE, enqueue

RUN_EXECUTION = "workitems.run_execution"


def dispatch(
    tenant_id: uuid.UUID, execution_id: uuid.UUID, *, run_at: datetime | None = None, queue: str = DEFAULT_QUEUE
) -> None:
    """Have `run_execution` called for this execution, at `run_at` or as soon as possible; part of the transaction."""
    enqueue(RUN_EXECUTION, tenant_id=tenant_id, queue=queue, run_at=run_at, execution_id=str(execution_id))
