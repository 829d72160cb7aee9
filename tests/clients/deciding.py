"""A person who decides about tool calls, in a thread beside the programs that wait for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threada_client import Threada


@contextmanager
def deciding(url: str, token: str) -> Iterator[list[str]]:
    """Approve each pending call, and reject those that name `keep`. Yield the ids of the work items."""
    seen: list[str] = []
    is_over = threading.Event()

    def decide() -> None:
        with Threada(url, token) as threada:
            while not is_over.wait(0.2):
                steps: list[Any] = list(
                    threada.decision_steps(mine="true", status="pending", workflow_id="agent_tool_call")
                )
                for step in steps:
                    item = step["work_item_id"]
                    asked = str(threada.work_item(item)["payload"]["input"])
                    seen.append(item)
                    if "keep" in asked:
                        threada.vote(step, "reject", reason_code="WRONG_PLACE")
                    else:
                        threada.vote(step, "approve")

    thread = threading.Thread(target=decide)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join(30)
