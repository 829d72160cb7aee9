"""Counters of attempts to sign in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from threada_site.identity.sign_in.attempts import Attempt, Origin, begin_attempt, forget_old_attempts
from threada_site.identity.sign_in.browsers import Browser
from threada_site.identity.sign_in.delays import ACCOUNT, ADDRESS, FORGOTTEN_AFTER, FREE_PER_NETWORK
from threada_site.kernel.errors import SignInDelayed
from threada_site.tenancy.instance_models import SignInCounter

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HERE = Origin("203.0.113.9", "203.0.113.0/24")


def origin(number: int, browser: Browser | None = None) -> Origin:
    """Return one of many origins, each in a network of its own."""
    return Origin(f"10.{number}.0.1", f"10.{number}.0.0/24", browser)


def delay(name: str, where: Origin, *, now: datetime = NOW) -> int:
    """Try once. Return the seconds to wait; 0 if the attempt was counted."""
    try:
        begin_attempt(name, where, now=now)
    except SignInDelayed as refusal:
        return int(refusal.headers["Retry-After"])
    return 0


def test_one_stranger_at_one_account_is_delayed_more_and_more() -> None:
    assert [delay("alice", HERE) for _ in range(6)] == [0, 0, 0, 0, 0, 1]
    assert delay("alice", HERE, now=NOW + SECOND) == 0
    assert delay("alice", HERE, now=NOW + SECOND) == 2
    assert delay("alice", HERE, now=NOW + 3 * SECOND) == 0
    assert delay("alice", HERE, now=NOW + 3 * SECOND) == 4


def test_a_refused_attempt_is_not_counted() -> None:
    for _ in range(50):
        delay("alice", HERE)
    assert delay("alice", HERE) == 1


def test_writing_the_name_in_another_way_gives_no_further_attempts() -> None:
    names = ["alice", "Alice", " alice ", "ALICE", "\uff41lice"]
    assert [delay(name, HERE) for name in names] == [0] * 5
    assert delay("alice", HERE) == 1


def test_one_stranger_at_many_accounts_is_delayed() -> None:
    for number in range(ADDRESS.free):
        assert delay(f"person-{number}", HERE) == 0
    assert delay("somebody", HERE) == 1
    assert delay("somebody", origin(1)) == 0


def test_signing_in_to_the_own_account_gives_no_further_attempts_at_others() -> None:
    for number in range(ADDRESS.free):
        assert delay(f"person-{number}", HERE) == 0
    with pytest.raises(SignInDelayed):
        begin_attempt("mallory", HERE, now=NOW)
    begin_attempt("mallory", HERE, now=NOW + SECOND).succeeded()
    assert delay("alice", HERE, now=NOW + SECOND) == 1


def test_many_addresses_at_one_account_get_few_attempts_each() -> None:
    for number in range(ACCOUNT.free + 10):
        assert [delay("alice", origin(number)) for _ in range(FREE_PER_NETWORK)] == [0] * FREE_PER_NETWORK
    assert delay("alice", origin(0)) == 900


def test_strangers_delay_no_person_in_a_known_browser() -> None:
    browser = Browser.new().with_account("alice")
    for number in range(20):
        delay("alice", origin(number))
    for _ in range(50):
        delay("alice", HERE)
    here = Origin(HERE.address, HERE.network, browser)
    assert [delay("alice", here) for _ in range(5)] == [0] * 5
    assert delay("alice", here) == 1, "guesses in a stolen browser are delayed too"
    of_another = Browser.new().with_account("bob")
    assert delay("alice", Origin(HERE.address, HERE.network, of_another)) > 0


def test_strangers_elsewhere_delay_no_person_in_a_new_browser() -> None:
    for number in range(20):
        delay("alice", origin(number))
    assert delay("alice", HERE) == 0


def test_a_person_behind_the_address_of_a_stranger_can_sign_in_from_a_known_browser_only() -> None:
    """Document the limit: a new browser shares the delays of its network."""
    for _ in range(50):
        delay("alice", HERE)
    assert delay("alice", HERE) == 1


def test_success_takes_only_the_own_attempt_back() -> None:
    attempts = [begin_attempt("alice", HERE, now=NOW) for _ in range(4)]
    attempts[-1].succeeded()
    assert {counter.failures for counter in SignInCounter.objects.all()} == {3}


def test_success_in_a_known_browser_begins_at_zero() -> None:
    here = Origin(HERE.address, HERE.network, Browser.new().with_account("alice"))
    attempts: list[Attempt] = [begin_attempt("alice", here, now=NOW) for _ in range(5)]
    attempts[-1].succeeded()
    assert not SignInCounter.objects.exists()


def test_failures_count_for_a_day_after_the_last_one() -> None:
    for _ in range(6):
        delay("alice", HERE)
    later = NOW + FORGOTTEN_AFTER
    assert [delay("alice", HERE, now=later) for _ in range(6)] == [0, 0, 0, 0, 0, 1]


def test_a_proxy_has_no_delay_of_its_own() -> None:
    proxy = Origin("", "")
    assert [delay(f"person-{number}", proxy) for number in range(ADDRESS.free + 5)] == [0] * (ADDRESS.free + 5)


def test_names_and_addresses_are_not_stored() -> None:
    begin_attempt("alice", HERE, now=NOW)
    stored = b"".join(bytes(counter.key) for counter in SignInCounter.objects.all())
    assert len(stored) == 3 * 32
    assert b"alice" not in stored


def test_old_counters_are_removed() -> None:
    begin_attempt("alice", HERE, now=NOW)
    begin_attempt("alice", origin(1), now=NOW + timedelta(hours=1))
    forget_old_attempts(now=NOW + FORGOTTEN_AFTER + SECOND)
    assert SignInCounter.objects.count() == 3
    forget_old_attempts(now=NOW + 2 * FORGOTTEN_AFTER)
    assert not SignInCounter.objects.exists()
