from __future__ import annotations

from datetime import UTC, datetime, timedelta

from policies.configuration.calendars import upsert_calendar
from policies.documents.calendar import parse_calendar
from policies.language.approvals import parse_approvals
from policies.language.working_time import DEFAULT_CALENDAR, add_working_time
from tests.workitems.office import ASKS_TWO, RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from workitems.steps.deadline_sweep import sweep_deadlines
from workitems.steps.due_dates import due_dates

FRIDAY = datetime(2026, 3, 6, 16, tzinfo=UTC)
KATHMANDU = {"time_zone": "Asia/Kathmandu", "hours": {"sunday": ["10:00-17:00"], "friday": ["10:00-17:00"]}}


def test_the_earlier_of_time_and_working_time_holds() -> None:
    rule = parse_approvals(
        {
            "role": "finance",
            "respond_within": "P1D",
            "expires_after": "P9D",
            "working_time": {"respond_within": "PT8H", "remind_after": "PT2H", "expires_after": "PT8H"},
        },
        pointer="",
    )
    due = due_dates(rule, FRIDAY, DEFAULT_CALENDAR)
    assert due.respond_due_at == datetime(2026, 3, 7, 16, tzinfo=UTC)
    assert due.remind_at == datetime(2026, 3, 9, 10, tzinfo=UTC)
    assert due.escalate_at is None
    assert due.expires_at == datetime(2026, 3, 9, 16, tzinfo=UTC)


def test_a_step_is_due_by_the_tenants_calendar(office: Office) -> None:
    times = {"working_time": {"expires_after": "PT14H"}, "on_expiry": "escalate", "escalate_to": {"role": "approver"}}
    office.put_rules({**RULES[1], "approvals": {**ASKS_TWO, **times}}, *RULES[2:])
    calendar = parse_calendar(KATHMANDU)
    with unit_of_work(office.tenant.id):
        assert upsert_calendar("office", calendar, ctx=office.system).is_new
        assert upsert_calendar("office", calendar, ctx=office.system).change == "unchanged"
    _, step, _ = office.awaiting()
    assert step.expires_at == add_working_time(calendar.calendar, step.opened_at, timedelta(hours=14))
    with unit_of_work(office.tenant.id):
        later = parse_calendar({**KATHMANDU, "hours": {"monday": ["10:00-11:00"]}})
        assert upsert_calendar("office", later, ctx=office.system).change == "changed"
    assert office.step(step).expires_at == step.expires_at
    assert step.expires_at is not None
    sweep_deadlines(now=step.expires_at)
    assert office.step(step).expires_at == add_working_time(later.calendar, step.expires_at, timedelta(hours=14))
    assert [body["inputs"]["calendar"] for body in office.bodies("calendar.changed")] == ["office", "office"]
