"""When a step is due: the instants that follow from its rule. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from policies.approvals import ApprovalRule


@dataclass(frozen=True, slots=True)
class DueDates:
    """None: never. `respond_by` is a promise, shown and sorted by; the others are acted upon."""

    respond_by: datetime | None
    remind_at: datetime | None
    escalate_at: datetime | None
    expires_at: datetime | None


def due_dates(rule: ApprovalRule, start: datetime) -> DueDates:
    """What is due when, for a step that opens at `start`. Without `remind_after` one is reminded at `respond_by`."""

    def after(name: str) -> datetime | None:
        duration = getattr(rule, name)
        return None if duration is None else start + duration

    respond_by = after("respond_within")
    return DueDates(
        respond_by=respond_by,
        remind_at=after("remind_after") or respond_by,
        escalate_at=after("escalate_after"),
        expires_at=after("expires_after"),
    )
