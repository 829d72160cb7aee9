"""Interface of a job engine. Only `threada_site.jobs.enqueue` uses it; callers go through that module."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from threada_site.database.batched_writes import Statement


class JobTable(Protocol):
    """The table in which an engine stores its jobs.

    Each method runs in the open transaction. Methods that read over all tenants need the role that the caller has
    taken.
    """

    def insertion(
        self, task: str, *, queue: str, priority: int, once: str | None, body: str, run_at: datetime | None
    ) -> Statement: ...

    def insertions(self, task: str, *, queues: list[str], priorities: list[int], bodies: list[str]) -> Statement: ...

    def removal(self, task: str, subjects: list[str]) -> Statement: ...

    def live(self, task: str, argument: str, values: Collection[str]) -> set[str]: ...

    def revive(self, tasks: Collection[str]) -> None: ...

    def forget_finished(self) -> None: ...

    def adopt(self) -> int: ...
