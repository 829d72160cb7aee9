"""Working time across clock changes, compared with a count of minutes."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.language.durations import LONGEST
from policies.language.working_time import DEFAULT_CALENDAR, MIDNIGHT, Hours, WorkingCalendar, add_working_time
from tests.examples import examples

BERLIN = ZoneInfo("Europe/Berlin")
NINE_TO_FIVE: tuple[Hours, ...] = ((time(9), time(17)),)
WEEK = (NINE_TO_FIVE,) * 5 + ((), ())
OFFICE = WorkingCalendar(zone=BERLIN, hours=WEEK, country="DE", subdivision="BY")
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]


def at(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("start", "hours", "end"),
    [
        ("2026-03-02T10:00", 8, "2026-03-03T10:00"),
        ("2026-03-02T09:00", 8, "2026-03-02T17:00"),  # to the very end of the day, not the start of the next
        ("2026-03-06T16:00", 2, "2026-03-09T10:00"),  # over a week-end
        ("2026-03-07T12:00", 1, "2026-03-09T10:00"),  # from a Saturday
        ("2026-03-02T20:00", 1, "2026-03-03T10:00"),  # after work
        ("2026-04-02T16:00", 2, "2026-04-07T10:00"),  # Good Friday and Easter Monday
        ("2026-03-27T16:00", 2, "2026-03-30T10:00"),  # the clocks go forward on Sunday the 29th
        ("2026-10-23T16:00", 2, "2026-10-26T10:00"),  # and back on Sunday the 25th
        ("2026-03-02T09:00", 40, "2026-03-06T17:00"),
    ],
)
def test_it_counts_hours_of_work(start: str, hours: int, end: str) -> None:
    assert add_working_time(OFFICE, at(start), timedelta(hours=hours)) == at(end)


def test_working_hours_are_stable_across_clock_changes() -> None:
    before = add_working_time(OFFICE, at("2026-03-27T09:00"), timedelta(hours=8))
    after = add_working_time(OFFICE, at("2026-03-30T09:00"), timedelta(hours=8))
    assert (before, after) == (at("2026-03-27T17:00"), at("2026-03-30T17:00"))
    assert (before.hour, after.hour) == (16, 15)


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)])
def test_whole_days_have_their_actual_length(day: date, hours: int) -> None:
    always = WorkingCalendar(zone=BERLIN, hours=(((time(0), MIDNIGHT),),) * 7)
    [(opens, closes)] = always.intervals_on(day)
    assert closes - opens == timedelta(hours=hours)


def test_skipped_hours_do_not_count_and_repeated_hours_count_twice() -> None:
    night = WorkingCalendar(zone=BERLIN, hours=(((time(2), time(3)),),) * 7)
    assert night.intervals_on(date(2026, 3, 29)) == []
    [(opens, closes)] = night.intervals_on(date(2026, 10, 25))
    assert closes - opens == timedelta(hours=2)
    [(opens, closes)] = night.intervals_on(date(2026, 10, 26))
    assert closes - opens == timedelta(hours=1)


def test_hours_that_end_or_start_within_repeated_local_time() -> None:
    def hours_on_the_night(opens: time, closes: time) -> list[tuple[str, str]]:
        night = WorkingCalendar(zone=BERLIN, hours=(((opens, closes),),) * 7)
        return [
            (f"{start:%H:%M}", f"{end:%H:%M}")  # in UTC; clocks go back from 03:00 to 02:00 at 01:00 UTC
            for start, end in night.intervals_on(date(2026, 10, 25))
        ]

    assert hours_on_the_night(time(1), time(2)) == [("23:00", "00:00")]
    assert hours_on_the_night(time(1), time(2, 15)) == [("23:00", "00:15"), ("01:00", "01:15")]
    assert hours_on_the_night(time(2, 45), time(4)) == [("00:45", "01:00"), ("01:45", "03:00")]
    assert hours_on_the_night(time(1), time(3)) == [("23:00", "02:00")]
    assert hours_on_the_night(time(3), time(4)) == [("02:00", "03:00")]


def test_extra_days_and_working_days() -> None:
    calendar = WorkingCalendar(
        zone=BERLIN,
        hours=WEEK,
        country="DE",
        subdivision="BY",
        extra_days={date(2026, 12, 24): "Christmas Eve"},
        working_days=frozenset({date(2026, 6, 4)}),
    )
    assert calendar.holiday_on(date(2026, 12, 24)) == "Christmas Eve"
    assert calendar.holiday_on(date(2026, 12, 25)) == "Erster Weihnachtstag"
    assert calendar.holiday_on(date(2026, 6, 4)) == ""
    assert OFFICE.holiday_on(date(2026, 6, 4)) == "Fronleichnam"
    assert WorkingCalendar(zone=BERLIN, hours=WEEK, country="DE").holiday_on(date(2026, 6, 4)) == ""


def test_the_default_calendar_is_nine_to_five_in_utc() -> None:
    start = datetime(2026, 3, 6, 16, tzinfo=UTC)
    assert add_working_time(DEFAULT_CALENDAR, start, timedelta(hours=2)) == datetime(2026, 3, 9, 10, tzinfo=UTC)


def test_results_are_limited_to_ten_years() -> None:
    lazy = WorkingCalendar(zone=BERLIN, hours=(((time(9), time(9, 1)),), (), (), (), (), (), ()))
    start = at("2026-03-02T09:00")
    assert add_working_time(lazy, start, timedelta(hours=100)) == start + LONGEST


@st.composite
def calendars(draw: st.DrawFn) -> WorkingCalendar:
    """Draw a calendar with up to three intervals a day on the quarter hour and some holidays."""
    days = []
    for _ in range(7):
        edges = sorted(draw(st.sets(st.integers(0, 95), max_size=6)))
        pairs = zip(edges[::2], edges[1::2], strict=False)
        days.append(tuple((time(a // 4, a % 4 * 15), time(b // 4, b % 4 * 15)) for a, b in pairs))
    if not any(days):
        days[draw(st.integers(0, 6))] = NINE_TO_FIVE
    off = draw(st.sets(st.integers(0, 40), max_size=8))
    first = date(2026, draw(st.sampled_from([3, 10])), 20)
    return WorkingCalendar(
        zone=ZoneInfo(draw(st.sampled_from(ZONES))),
        hours=tuple(days),
        extra_days={first + timedelta(days=number): "off" for number in off},
    )


starts = st.datetimes(datetime(2026, 3, 20), datetime(2026, 11, 10), timezones=st.just(UTC))  # noqa: DTZ001
amounts = st.integers(1, 60 * 60).map(lambda minutes: timedelta(minutes=minutes))


def minutes_worked(calendar: WorkingCalendar, start: datetime, end: datetime) -> int:
    """Return the working minutes from `start` to `end`, counted one by one in local time."""
    worked = 0
    moment = start
    while moment < end:
        local = moment.astimezone(calendar.zone)
        if not calendar.holiday_on(local.date()):
            for opens, closes in calendar.hours[local.weekday()]:
                worked += opens <= local.time() < closes
        moment += timedelta(minutes=1)
    return worked


@settings(max_examples=examples(60))
@given(calendars(), starts, st.integers(1, 600))
def test_it_agrees_with_a_count_by_minutes(calendar: WorkingCalendar, start: datetime, minutes: int) -> None:
    start = start.replace(second=0, microsecond=0)
    end = add_working_time(calendar, start, timedelta(minutes=minutes))
    if end - start < timedelta(days=20):
        assert minutes_worked(calendar, start, end) == minutes


@settings(max_examples=examples(100))
@given(calendars(), starts, amounts, amounts)
def test_it_is_additive_and_monotonic(
    calendar: WorkingCalendar, start: datetime, one: timedelta, other: timedelta
) -> None:
    first = add_working_time(calendar, start, one)
    assert start + one <= first
    assert add_working_time(calendar, first, other) == add_working_time(calendar, start, one + other)
    assert first <= add_working_time(calendar, start + other, one)
