"""When a step is due: the instants that follow from its rule. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from policies.language.approvals import ApprovalRule
from policies.language.working_time import WorkingCalendar, add_working_time


@dataclass(frozen=True, slots=True)
class DueDates:
    """None: never. `respond_by` is a promise, shown and sorted by; the others are acted upon."""

    respond_by: datetime | None
    remind_at: datetime | None
    escalate_at: datetime | None
    expires_at: datetime | None


def due_dates(rule: ApprovalRule, start: datetime, calendar: WorkingCalendar) -> DueDates:
    """What is due when, for a step that opens at `start`. Without `remind_after` one is reminded at `respond_by`."""

    working_time = dict(rule.working_time)

    def after(name: str) -> datetime | None:
        duration = getattr(rule, name)
        instants = [] if duration is None else [start + duration]
        if name in working_time:
            instants.append(add_working_time(calendar, start, working_time[name]))
        return min(instants, default=None)

    respond_by = after("respond_within")
    return DueDates(
        respond_by=respond_by,
        remind_at=after("remind_after") or respond_by,
        escalate_at=after("escalate_after"),
        expires_at=after("expires_after"),
    )
