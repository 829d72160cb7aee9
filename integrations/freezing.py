"""What a freeze covers, and what it does to deadlines. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class FreezeScope:
    """Scope of a freeze: the whole tenant ("" throughout), one workflow, one integration, or one action of it.

    Raises `ValueError` for anything between.
    """

    workflow: str = ""
    integration: str = ""
    action: str = ""

    def __post_init__(self) -> None:
        if self.action and not self.integration:
            raise ValueError("an action is named together with its integration")
        if self.workflow and self.integration:
            raise ValueError("name a workflow or an integration, not both")

    def covers(self, *, workflow: str, integration: str = "", action: str = "") -> bool:
        """Whether something of `workflow` (about an action, where one is named) stands still."""
        return (
            self.workflow in ("", workflow)
            and self.integration in ("", integration)
            and (not self.action or self.action == action)
        )

    def __str__(self) -> str:
        if self.action:
            return f"{self.action} on {self.integration}"
        if self.integration:
            return f"integration {self.integration}"
        return f"workflow {self.workflow}" if self.workflow else "everything"


def frozen_since(periods: Iterable[tuple[datetime, datetime]], until: datetime) -> datetime:
    """Since when it has been frozen without a gap, of `periods` that overlap; `until` when it was not."""
    since = until
    for begin, end in sorted(periods, key=lambda period: period[1], reverse=True):
        if end >= since:
            since = min(since, begin)
    return since


def moved(deadline: datetime | None, *, since: datetime, until: datetime, opened_at: datetime) -> datetime | None:
    """A deadline that fell into a frozen time, later by as much of it as the step lived through; others as they are."""
    begin = max(since, opened_at)
    if deadline is None or not begin <= deadline <= until:
        return deadline
    return deadline + (until - begin)
