"""Deadlines of a decision step, computed from its rule. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from policies.language.approvals import ApprovalRule
from policies.language.working_time import WorkingCalendar, add_working_time, working_time_between


@dataclass(frozen=True, slots=True)
class DueDates:
    """Deadlines of a decision step; None means no deadline. `respond_due_at` is only displayed and sorted by."""

    respond_due_at: datetime | None
    remind_at: datetime | None
    escalate_at: datetime | None
    expires_at: datetime | None


def due_dates(rule: ApprovalRule, start: datetime, calendar: WorkingCalendar) -> DueDates:
    """Return the deadlines of a step that opens at `start`.

    Without `remind_after` the reminder is due at `respond_due_at`.
    """

    working_time = dict(rule.working_time)

    def after(name: str) -> datetime | None:
        duration = getattr(rule, name)
        instants = [] if duration is None else [start + duration]
        if name in working_time:
            instants.append(add_working_time(calendar, start, working_time[name]))
        return min(instants, default=None)

    respond_due_at = after("respond_within")
    return DueDates(
        respond_due_at=respond_due_at,
        remind_at=after("remind_after") or respond_due_at,
        escalate_at=after("escalate_after"),
        expires_at=after("expires_after"),
    )


_RULES: Final = {
    "respond_due_at": ("respond_within",),
    "remind_at": ("remind_after", "respond_within"),
    "escalate_at": ("escalate_after",),
    "expires_at": ("expires_after",),
}
"""Members of a rule that a deadline follows: the first that the rule has."""
DEADLINES: Final = tuple(_RULES)


def after_pause(
    name: str, deadline: datetime, rule: ApprovalRule, calendar: WorkingCalendar, *, since: datetime, until: datetime
) -> datetime:
    """Return the deadline `name` of a step that was paused from `since` to `until`: as much time is left as before.

    A deadline that the rule states in working time only has the same working time left. Others move by the pause.
    """
    working_time = dict(rule.working_time)
    member = next((name for name in _RULES[name] if name in working_time or getattr(rule, name) is not None), "")
    if member in working_time and getattr(rule, member) is None:
        left = working_time_between(calendar, since, deadline)
        if left:
            return add_working_time(calendar, until, left)
    return deadline + (until - since)
