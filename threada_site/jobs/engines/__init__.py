"""What an engine knows of the jobs in its table. `threada_site.jobs.enqueue` is the seam; nobody else asks here."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple, Protocol

from threada_site.database.batched_writes import Statement


class Depth(NamedTuple):
    """`oldest_due_s`: how long the job that has been due for longest has waited."""

    waiting: int
    running: int
    oldest_due_s: float


class JobTable(Protocol):
    """Each runs in the open transaction. What reads over all tenants does so as the role that the caller has taken."""

    def insertion(
        self, task: str, *, queue: str, priority: int, once: str | None, body: str, run_at: datetime | None
    ) -> Statement: ...

    def live(self, task: str, argument: str, values: Collection[str]) -> set[str]: ...

    def revive(self, tasks: Collection[str]) -> None: ...

    def forget_finished(self) -> None: ...

    def adopt(self) -> int: ...

    def depth(self, *, with_periodic: bool = True) -> Depth: ...
