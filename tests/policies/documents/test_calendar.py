from __future__ import annotations

from datetime import date, time, timedelta
from typing import Any

import pytest

from policies.documents.calendar import parse_calendar
from policies.language.approvals import from_json, merge, parse_approvals, to_json
from policies.language.working_time import MIDNIGHT
from threada_site.kernel.errors import DocumentInvalid, PolicyDocumentInvalid

SPEC: dict[str, Any] = {
    "time_zone": "Europe/Berlin",
    "hours": {"monday": ["08:00-12:00", "13:00-24:00"], "friday": ["09:00-15:30"]},
    "holidays": {"country": "DE", "subdivision": "BY"},
    "extra_days": {"2026-12-24": "Christmas Eve"},
    "working_days": ["2026-06-04"],
}


def test_a_whole_document_is_parsed() -> None:
    document = parse_calendar({"kind": "Calendar", "id": "office", "spec": SPEC})
    assert (document.id, document.spec, document.calendar.zone.key) == ("office", SPEC, "Europe/Berlin")
    assert document.calendar.hours[0] == ((time(8), time(12)), (time(13), MIDNIGHT))
    assert document.calendar.hours[4] == ((time(9), time(15, 30)),)
    assert document.calendar.hours[6] == ()
    assert document.calendar.holiday_on(date(2026, 11, 1)) == "Allerheiligen"
    assert document.calendar.holiday_on(date(2026, 12, 24)) == "Christmas Eve"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"time_zone": "Berlin"}, "/time_zone"),
        ({"time_zone": None}, "/time_zone"),
        ({"hours": {}}, "/hours"),
        ({"hours": {"monday": []}}, "/hours"),
        ({"hours": {"mon": ["09:00-17:00"]}}, "/hours/mon"),
        ({"hours": {"monday": "09:00-17:00"}}, "/hours/monday"),
        ({"hours": {"monday": ["9-17"]}}, "/hours/monday/0"),
        ({"hours": {"monday": ["17:00-09:00"]}}, "/hours/monday/0"),
        ({"hours": {"monday": ["09:00-00:00"]}}, "/hours/monday/0"),
        ({"hours": {"monday": ["09:00-24:30"]}}, "/hours/monday/0"),
        ({"hours": {"monday": ["09:00-13:00", "12:00-17:00"]}}, "/hours/monday/1"),
        ({"hours": {"monday": ["09:00-24:00", "12:00-17:00"]}}, "/hours/monday/1"),
        ({"holidays": {"country": "XX"}}, "/holidays/country"),
        ({"holidays": {"country": "DE", "subdivision": "TX"}}, "/holidays/subdivision"),
        ({"holidays": "DE"}, "/holidays"),
        ({"extra_days": {"24.12.": "Eve"}}, "/extra_days/24.12."),
        ({"extra_days": {"2026-12-24": ""}}, "/extra_days/2026-12-24"),
        ({"extra_days": ["2026-12-24"]}, "/extra_days"),
        ({"working_days": ["2026-02-30"]}, "/working_days/0"),
        ({"working_days": "2026-02-03"}, "/working_days"),
        ({"colour": "red"}, "/colour"),
    ],
)
def test_errors_are_reported_with_pointers(change: dict[str, Any], pointer: str) -> None:
    with pytest.raises(DocumentInvalid) as refused:
        parse_calendar({**SPEC, **change})
    assert pointer in [error.pointer for error in refused.value.errors]


def test_a_calendar_must_be_an_object() -> None:
    with pytest.raises(DocumentInvalid):
        parse_calendar([])


def approvals(**more: Any) -> Any:
    return parse_approvals({"role": "finance", **more}, pointer="")


def test_a_rule_can_use_working_time() -> None:
    rule = approvals(
        working_time={"respond_within": "PT24H", "expires_after": "PT40H"}, on_expiry="reject", remind_after="P1D"
    )
    assert rule.working_time == (("expires_after", timedelta(hours=40)), ("respond_within", timedelta(hours=24)))
    stored = to_json(rule)
    assert stored["working_time"] == {"expires_after": "PT40H", "respond_within": "PT24H"}
    assert (stored["on_expiry"], stored["remind_after"]) == ("reject", "P1D")
    assert from_json(stored) == rule == parse_approvals(stored, pointer="")


def test_merge_takes_the_shortest_duration_of_each_kind() -> None:
    one = approvals(working_time={"expires_after": "PT40H"}, on_expiry="escalate", escalate_to={"role": "lead"})
    other = approvals(working_time={"expires_after": "PT8H"}, expires_after="P9D")
    both = merge([one, other])
    assert both == merge([other, one])
    assert (dict(both.working_time), both.expires_after) == ({"expires_after": timedelta(hours=8)}, timedelta(days=9))
    assert both.on_expiry == "reject"


@pytest.mark.parametrize(
    ("working_time", "pointer"),
    [
        ("PT8H", "/working_time"),
        ({}, "/working_time"),
        ({"respond_within": "P3D"}, "/working_time/respond_within"),
        ({"respond_within": "8h"}, "/working_time/respond_within"),
        ({"soon": "PT8H"}, "/working_time/soon"),
        ({"respond_within": "PT9H", "expires_after": "PT8H"}, "/working_time/respond_within"),
        ({"escalate_after": "PT8H"}, "/escalate_to"),
    ],
)
def test_invalid_working_time_is_reported(working_time: Any, pointer: str) -> None:
    with pytest.raises(PolicyDocumentInvalid) as refused:
        approvals(working_time=working_time)
    assert [error.pointer for error in refused.value.errors] == [pointer]
