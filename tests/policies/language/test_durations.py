from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.language.durations import LONGEST, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "duration", "canonical"),
    [
        ("PT8H", timedelta(hours=8), "PT8H"),
        ("P3D", timedelta(days=3), "P3D"),
        ("P1DT12H", timedelta(days=1, hours=12), "P1DT12H"),
        ("P2W", timedelta(days=14), "P14D"),
        ("PT90M", timedelta(minutes=90), "PT1H30M"),
        ("PT36H", timedelta(hours=36), "P1DT12H"),
        ("PT1S", timedelta(seconds=1), "PT1S"),
        ("P0DT5M", timedelta(minutes=5), "PT5M"),
    ],
)
def test_durations_are_parsed_and_formatted_canonically(text: str, duration: timedelta, canonical: str) -> None:
    assert parse_duration(text) == duration
    assert format_duration(duration) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P",
        "PT",
        "P3DT",
        "8H",
        "PT8",
        "P1Y",
        "P1M",
        "PT1.5H",
        "-PT1H",
        "P1W2D",
        "PT1M1H",
        "pt8h",
        "PT8H\n",
        "P\u0661D",
    ],
)
def test_invalid_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["PT0S", "P0D", "P3661D", "P999999999D", "P999999999W"])
def test_durations_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is out of range"):
        parse_duration(text)


@pytest.mark.parametrize("duration", [timedelta(), timedelta(seconds=-1), timedelta(milliseconds=1500)])
def test_unrepresentable_durations_are_not_formatted(duration: timedelta) -> None:
    with pytest.raises(ValueError, match="has no duration text"):
        format_duration(duration)


@settings(deadline=None)
@given(st.integers(1, int(LONGEST.total_seconds())))
def test_every_duration_round_trips(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration
