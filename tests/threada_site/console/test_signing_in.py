"""Signing in to the console after failures, in known and in other browsers."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.http import QueryDict
from django.test import Client

from tests.factories import PASSWORD, acting_system
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.passwords import set_password
from threada_site.identity.sign_in import hashing
from threada_site.tenancy.models import User

WRONG = "wrong password, clearly"


@pytest.fixture
def person(demo: Demo) -> User:
    person = User.objects.get(username="finance-1")
    with unit_of_work(demo.tenant.id):
        set_password(person, PASSWORD, ctx=acting_system(demo.tenant))
    return person


def attempt(browser: Client, password: str = PASSWORD, *, accept: str = "text/html") -> Any:
    form = {"username": "finance-1", "password": password, "next": "/console/"}
    return browser.post("/console/login/", form, headers={"accept": accept})


def hammer(address: str = "203.0.113.9") -> Client:
    """Fail until the account is delayed."""
    stranger = Client(REMOTE_ADDR=address)
    while attempt(stranger, WRONG).status_code == 200:
        pass
    return stranger


def test_a_stranger_is_told_to_wait(person: User) -> None:
    refused = attempt(hammer(), WRONG)
    assert refused.status_code == 429
    assert refused["Retry-After"] == "1"
    page = refused.content.decode()
    assert "Too many sign-ins failed. Try again in 1 second," in page
    assert "/console/login/" in page
    assert "/console/password-reset/" in page


def test_a_client_that_asks_for_json_gets_a_problem(person: User) -> None:
    refused = attempt(hammer(), WRONG, accept="application/json")
    assert refused.status_code == 429
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["reason_code"] == "sign_in_delayed"


def test_unknown_names_are_delayed_likewise(person: User) -> None:
    stranger = Client(REMOTE_ADDR="203.0.113.9")
    form = {"username": "nobody", "password": WRONG}
    statuses = [stranger.post("/console/login/", form).status_code for _ in range(6)]
    assert statuses == [200] * 5 + [429]


def test_a_right_password_does_not_help_a_stranger_who_has_to_wait(person: User) -> None:
    """Otherwise the answer would tell which guess is right."""
    assert attempt(hammer()).status_code == 429


def test_a_person_signs_in_from_a_known_browser_while_strangers_hammer(person: User) -> None:
    own = Client(REMOTE_ADDR="203.0.113.9")
    assert attempt(own).status_code == 302
    cookie = own.cookies[settings.THREADA_BROWSER_COOKIE]
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"]) == ("Lax", "/")
    assert "finance-1" not in cookie.value
    own.post("/console/logout/")
    hammer("203.0.113.9")
    assert attempt(own, WRONG).status_code == 200
    assert attempt(own).status_code == 302


def test_a_person_signs_in_from_a_new_browser_elsewhere_while_strangers_hammer(person: User) -> None:
    for number in range(10):
        hammer(f"10.{number}.0.1")
    assert attempt(Client(REMOTE_ADDR="203.0.113.9")).status_code == 302


def test_failures_set_no_cookie(person: User) -> None:
    browser = Client()
    attempt(browser, WRONG)
    assert settings.THREADA_BROWSER_COOKIE not in browser.cookies


def test_cookies_are_secure_over_https(person: User, settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = True
    browser = Client()
    assert attempt(browser).status_code == 302
    assert browser.cookies[settings.THREADA_BROWSER_COOKIE]["secure"]


def test_an_attempt_whose_password_was_not_checked_is_not_counted(person: User, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["threada_site.identity.sign_in.hashing.PasswordHasher", *settings.PASSWORD_HASHERS]
    browser = Client(REMOTE_ADDR="203.0.113.9")
    with hashing.hashing_slot(), hashing.hashing_slot():
        statuses = [attempt(browser).status_code for _ in range(7)]
    assert statuses == [429] * 7
    assert attempt(browser).status_code == 302


def test_wrong_current_passwords_end_the_session(person: User) -> None:
    browser = Client()
    browser.force_login(person)
    form = {"old_password": WRONG, "new_password": "another horse, another battery"}
    form["again"] = form["new_password"]
    for _ in range(4):
        assert browser.post("/console/password_change/", form).status_code == 422
    assert browser.post("/console/password_change/", form)["Location"] == "/console/login/"
    assert browser.get("/console/")["Location"].startswith("/console/login/")


@pytest.mark.parametrize("password", ["aaaaaaaaaaaa", "passwordpassword", "Password123password"])
def test_patterns_are_refused_as_new_passwords(person: User, password: str) -> None:
    browser = Client()
    browser.force_login(person)
    form = {"old_password": PASSWORD, "new_password": password, "again": password}
    refused = browser.post("/console/password_change/", form)
    assert refused.status_code == 422
    assert "repeats itself or consists of sequences and common words" in refused.content.decode()


@pytest.mark.parametrize("path", ["/console/login/", "/console/password-reset/", "/console/policies/anything/"])
def test_large_form_of_a_stranger_is_not_read(person: User, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Reading a form of 4 MB takes the interpreter for half a second."""
    read: list[int] = []
    monkeypatch.setattr(QueryDict, "__init__", lambda _self, sent, **_options: read.append(len(sent or b"")))
    for browser in (Client(), Client(headers={"Cookie": "threada_session=" + "a" * 32})):
        browser.handler.enforce_csrf_checks = True
        sent = browser.post(path, b"a=" + b"%41" * 30_000, content_type="application/x-www-form-urlencoded")
        assert sent.status_code == 413
        assert "The form is too large" in sent.content.decode()
    assert sum(read) < 1_000
