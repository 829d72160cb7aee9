"""Known browsers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import signing

from threada_site.identity.sign_in import browsers
from threada_site.identity.sign_in.browsers import MOST_ACCOUNTS, Browser


def test_a_browser_knows_the_accounts_that_signed_in_from_it() -> None:
    browser = Browser.from_cookie(Browser.new().with_account("alice").with_account("bob").cookie())
    assert browser is not None
    assert browser.knows("alice")
    assert browser.knows("bob")
    assert not browser.knows("carol")


def test_a_cookie_names_nobody_and_cannot_be_compared_with_another() -> None:
    one, other = Browser.new().with_account("alice"), Browser.new().with_account("alice")
    assert "alice" not in one.cookie()
    assert one.accounts != other.accounts


@pytest.mark.parametrize("cookie", ["", "x", "a.b", "a:b:c", "a" * 5000])
def test_forged_cookies_are_of_no_browser(cookie: str) -> None:
    assert Browser.from_cookie(cookie) is None


def test_an_account_cannot_be_added_by_hand() -> None:
    own, other = Browser.new().with_account("mallory"), Browser.new().with_account("alice")
    value, stamp, signature = own.cookie().split(":")
    assert Browser.from_cookie(f"{value}.{other.accounts[0]}:{stamp}:{signature}") is None
    signed_for_something_else = signing.TimestampSigner().sign(value)
    assert Browser.from_cookie(signed_for_something_else) is None


def test_the_latest_accounts_are_kept() -> None:
    browser = Browser.new()
    for number in range(MOST_ACCOUNTS + 1):
        browser = browser.with_account(f"person-{number}")
    assert not browser.knows("person-0")
    assert browser.knows("person-1")
    assert len(browser.with_account("person-1").accounts) == MOST_ACCOUNTS


def test_a_browser_is_known_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = Browser.new().with_account("alice").cookie()
    monkeypatch.setattr(browsers, "KNOWN_FOR", timedelta(seconds=-1))
    assert Browser.from_cookie(cookie) is None


def test_a_browser_stays_known_when_the_key_is_rotated(settings: Any) -> None:
    settings.SECRET_KEY = "an earlier key"
    cookie = Browser.new().with_account("alice").cookie()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a later key", ["an earlier key"]
    browser = Browser.from_cookie(cookie)
    assert browser is not None
    assert browser.knows("alice")
    assert browser.with_account("alice").knows("alice")
