"""Step-up by a passkey in a session."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.threada_site.console.passkeys.browsers import PASSKEYS, Browser, reason_of, with_passkey
from tests.threada_site.console.passkeys.test_sign_in import receipts
from threada_site.kernel import clock
from threada_site.tenancy.models import Tenant, User


def session_of(person: User, own: Any) -> Browser:
    """Return a browser with a session, and no step-up in it."""
    browser = Browser(own)
    browser.sign_in() if own is not None else browser.open_session(person.username)
    return browser


def stepped_up(browser: Browser) -> bool:
    ctx = browser.get("/console/").wsgi_request.acting_context
    return bool(ctx.recently_reauthenticated(clock.now()))


def test_a_passkey_is_a_step_up_for_five_minutes(fay: User) -> None:
    browser = session_of(fay, with_passkey(fay).own)
    assert not stepped_up(browser)
    assert browser.step_up().status_code == 200
    assert stepped_up(browser)
    session = browser.session
    session["reauthenticated_at"] = (clock.now() - timedelta(minutes=5, seconds=1)).timestamp()
    session.save()
    assert not stepped_up(browser)


def test_the_passkey_of_another_person_is_no_step_up(acme: Tenant, fay: User, bob: User) -> None:
    theirs = with_passkey(bob).own
    browser = session_of(fay, with_passkey(fay).own)
    browser.own = theirs
    answer = browser.step_up(key=theirs.keys[0])
    assert reason_of(answer) == "passkey_unknown"
    assert not stepped_up(browser)
    assert "passkey_unknown" in str(receipts(acme, "request.refused"))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"verified": False}, "passkey_user_not_verified"),
        ({"origin": "https://evil.example"}, "passkey_origin_refused"),
        ({"sign_count": 1}, "passkey_cloned"),
        ({"signature": bytes(70)}, "passkey_invalid"),
        ({"user_handle": bytes(32)}, "passkey_unknown"),
    ],
)
def test_a_wrong_answer_is_no_step_up(fay: User, wrong: dict[str, Any], reason: str) -> None:
    browser = session_of(fay, with_passkey(fay).own)
    assert reason_of(browser.step_up(**wrong)) == reason
    assert not stepped_up(browser)


def test_an_answer_serves_in_its_session_and_once(fay: User) -> None:
    own = with_passkey(fay).own
    first, second = session_of(fay, own), session_of(fay, own)
    sent = first.start("step-up/")
    assert reason_of(second.post(f"{PASSKEYS}step-up/", sent)) == "passkey_challenge_invalid"
    assert first.post(f"{PASSKEYS}step-up/", sent).status_code == 200
    assert reason_of(first.post(f"{PASSKEYS}step-up/", sent)) in ("passkey_cloned", "passkey_challenge_invalid")


def test_strangers_and_people_without_a_passkey_get_no_options(fay: User) -> None:
    stranger = Browser()
    assert stranger.post(f"{PASSKEYS}step-up/options/").status_code == 302
    assert session_of(fay, None).ask("step-up/options/")["reason_code"] == "passkey_unknown"
