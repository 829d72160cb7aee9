"""Second step of a sign-in with a password, by a passkey."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import acting_system
from tests.threada_site.console.passkeys.browsers import PASSKEYS, Browser, reason_of, with_passkey
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.passwords import set_password
from threada_site.tenancy.models import User

SECOND_STEP = "/console/second-step/"


def after_password(person: User, own: Any) -> Browser:
    """Return a browser in which the password was right, and the second step is missing."""
    browser = Browser(own)
    assert browser.open_session(person.username)["Location"] == SECOND_STEP
    return browser


def finish(browser: Browser, **wrong: Any) -> Any:
    return browser.post(f"{PASSKEYS}second-step/", browser.start("second-step/", **wrong))


@pytest.mark.parametrize("verified", [True, False])
def test_a_passkey_completes_a_sign_in_with_a_password(fay: User, verified: bool) -> None:
    browser = after_password(fay, with_passkey(fay).own)
    assert "Use a passkey" in browser.get(SECOND_STEP).content.decode()
    assert browser.get("/console/").status_code == 302
    assert finish(browser, verified=verified)["Location"] == "/console/"
    ctx = browser.get("/console/").wsgi_request.acting_context
    assert ctx.authentication.factors == ("password", "passkey")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"origin": "https://evil.example"}, "passkey_origin_refused"),
        ({"signature": bytes(70)}, "passkey_invalid"),
        ({"sign_count": 1}, "passkey_cloned"),
        ({"user_handle": bytes(32)}, "passkey_unknown"),
    ],
)
def test_a_wrong_answer_does_not(fay: User, wrong: dict[str, Any], reason: str) -> None:
    browser = after_password(fay, with_passkey(fay).own)
    assert reason_of(finish(browser, **wrong)) == reason
    assert browser.get("/console/").status_code == 302


def test_the_passkey_of_another_person_does_not(fay: User, bob: User) -> None:
    theirs = with_passkey(bob).own
    browser = after_password(fay, with_passkey(fay).own)
    own, browser.own = browser.own, theirs
    assert reason_of(finish(browser, key=theirs.keys[0])) == "passkey_unknown"
    browser.own = own
    assert finish(browser).status_code == 302


def test_an_answer_serves_in_its_own_sign_in_and_once(fay: User) -> None:
    own = with_passkey(fay).own
    first, second = after_password(fay, own), after_password(fay, own)
    sent = first.start("second-step/")
    assert reason_of(second.post(f"{PASSKEYS}second-step/", sent)) == "passkey_challenge_invalid"
    assert reason_of(Browser(own).post(f"{PASSKEYS}second-step/", sent)) == "second_step_expired"
    assert reason_of(first.post(f"{PASSKEYS}sign-in/", sent)) == "passkey_challenge_invalid"
    assert first.post(f"{PASSKEYS}second-step/", sent).status_code == 302


def test_nobody_gets_options_without_the_password(fay: User) -> None:
    with_passkey(fay)
    assert Browser().ask("second-step/options/")["reason_code"] == "second_step_expired"


def test_a_new_password_ends_a_pending_second_step(acme: Any, fay: User) -> None:
    browser = after_password(fay, with_passkey(fay).own)
    sent = browser.start("second-step/")
    with unit_of_work(acme.id):
        set_password(User.objects.get(pk=fay.pk), "four unrelated words, again", ctx=acting_system(acme))
    assert reason_of(browser.post(f"{PASSKEYS}second-step/", sent)) == "second_step_expired"
