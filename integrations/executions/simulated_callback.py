"""Job of a simulated callback: enqueued when a simulated call was accepted, and run after the declared delay."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from integrations.models import Execution
from threada_site.jobs.enqueue import EXECUTION_QUEUE, enqueue

CALL_BACK: Final = "workitems.simulated_callback"
"""Name of the task that takes a simulated callback; its argument is `execution_id`."""


def enqueue_simulated_callback(execution: Execution, request: dict[str, Any], *, now: datetime) -> None:
    """Enqueue the callback of a simulated execution that waits for it. Do nothing for any other execution."""
    callback = request.get("callback")
    if not execution.is_simulated or not isinstance(callback, dict) or callback["status"] == "none":
        return
    run_at = now + timedelta(seconds=callback["after_s"])
    enqueue(
        CALL_BACK,
        tenant_id=execution.tenant_id,
        queue=EXECUTION_QUEUE,
        run_at=run_at,
        execution_id=str(execution.id),
    )
