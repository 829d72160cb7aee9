"""Delays after failed sign-ins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from threada_site.identity.sign_in.delays import ACCOUNT, ADDRESS, FORGOTTEN_AFTER, Delay

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (4, 0), (5, 1), (6, 2), (7, 4), (14, 512), (15, 900), (50, 900), (10**6, 900)]
)
def test_delay_of_an_account_doubles_up_to_a_quarter_of_an_hour(failures: int, seconds: int) -> None:
    assert ACCOUNT.remaining(failures, NOW, now=NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("failures", "seconds"), [(19, 0), (20, 1), (25, 32), (26, 60), (10**6, 60)])
def test_delay_of_an_address_is_at_most_a_minute(failures: int, seconds: int) -> None:
    assert ADDRESS.remaining(failures, NOW, now=NOW) == timedelta(seconds=seconds)


def test_delay_passes() -> None:
    assert ACCOUNT.remaining(8, NOW, now=NOW + timedelta(seconds=3)) == timedelta(seconds=5)
    assert ACCOUNT.remaining(8, NOW, now=NOW + timedelta(seconds=8)) == timedelta(0)
    assert ACCOUNT.remaining(8, NOW, now=NOW + timedelta(days=300)) == timedelta(0)


def test_failures_are_forgotten_after_a_day() -> None:
    assert ACCOUNT.counted(100, NOW, now=NOW + FORGOTTEN_AFTER - timedelta(seconds=1)) == 100
    assert ACCOUNT.counted(100, NOW, now=NOW + FORGOTTEN_AFTER) == 0


def guesses_in_a_day(delay: Delay) -> int:
    """Return the number of attempts of somebody who tries again as soon as the delay has passed."""
    failures, now = 0, NOW
    while now - NOW < timedelta(days=1):
        failures += 1
        now += delay.remaining(failures, now, now=now)
    return failures


def test_guesses_in_a_day_are_few() -> None:
    assert guesses_in_a_day(ACCOUNT) <= 120
    assert guesses_in_a_day(ADDRESS) <= 1_500
