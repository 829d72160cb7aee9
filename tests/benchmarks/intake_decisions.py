"""Intake decisions per second of one worker with a full queue."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

import psycopg

from tests.benchmarks.figures import Figure
from tests.benchmarks.world import World

QUEUED: Final = 600
_LEFT: Final = "SELECT count(*) FROM workitems_workitem WHERE status = 'new'"


def figure(
    world: World, *, create_item: Callable[[], Any], running_worker: Callable[[], AbstractContextManager[None]]
) -> Figure:
    """Create work items, start a worker, and measure from the time at which a quarter is decided."""
    for _ in range(QUEUED):
        create_item()
    first: tuple[float, int] | None = None
    with psycopg.connect(**world.superuser(), autocommit=True) as connection, running_worker():
        ends = time.monotonic() + 120
        while left := connection.execute(_LEFT).fetchall()[0][0]:
            if time.monotonic() > ends:
                raise TimeoutError(f"{left} items are not decided.")
            if first is None and left <= QUEUED * 3 // 4:
                first = time.monotonic(), left
            time.sleep(0.01)
        now = time.monotonic()
    began, then_left = first or (now, 0)
    return Figure(name=f"intake decisions/s, one worker, {QUEUED} queued", value=f"{then_left / (now - began):.0f}/s")
