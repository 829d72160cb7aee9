"""Sign-in with a passkey alone, honest and hostile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from telemetry.models import Receipt
from tests.authenticator import Authenticator
from tests.factories import acting_system
from tests.threada_site.console.passkeys.browsers import PASSKEYS, Browser, reason_of, with_passkey
from tests.threada_site.console.passkeys.conftest import member
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.departure.access import end_access
from threada_site.identity.factors import second_step
from threada_site.identity.factors.reset import reset_factors
from threada_site.identity.principals import remove_member
from threada_site.kernel.context import EntryPoint
from threada_site.tenancy.models import ConsoleSession, Passkey, SignInCounter, Tenant, User


def receipts(tenant: Tenant, kind: str) -> list[dict[str, Any]]:
    with unit_of_work(tenant.id):
        rows = Receipt.objects.filter(kind__startswith=kind).order_by("id")
        return [json.loads(bytes(row.body)) for row in rows]


def test_a_passkey_signs_in_without_a_password(acme: Tenant, fay: User) -> None:
    own = with_passkey(fay).own
    browser = Browser(own)
    answer = browser.sign_in()
    assert (answer.status_code, answer["Location"]) == (302, "/console/")
    assert browser.get("/console/").status_code == 200
    assert browser.session["factors"] == ["passkey"]
    assert len(receipts(acme, "session.signed_in")) == 2
    assert Passkey.objects.get().factor.last_used_at is not None


@pytest.mark.parametrize("end", [end_access, reset_factors, remove_member])
def test_what_ends_a_passkey_while_the_session_is_stored_ends_the_session(
    acme: Tenant, fay: User, monkeypatch: pytest.MonkeyPatch, end: Callable[..., object]
) -> None:
    """Each ends stored sessions, and this one is stored a moment later."""
    own, real = with_passkey(fay).own, second_step.add_factors

    def add_factors(*arguments: Any) -> None:
        real(*arguments)
        with unit_of_work(acme.id):
            end(fay, ctx=acting_system(acme, EntryPoint.CONSOLE))

    monkeypatch.setattr(second_step, "add_factors", add_factors)
    browser = Browser(own)
    assert reason_of(browser.sign_in()) == "sign_in_state_invalid"
    assert browser.get("/console/").status_code == 302
    assert not ConsoleSession.objects.filter(user=fay).exists()


def test_the_session_is_a_new_one_with_a_new_key(fay: User) -> None:
    browser = Browser(with_passkey(fay).own)
    fixed = "a" * 32
    browser.get("/console/login/")
    browser.cookies["threada_session"] = fixed
    assert browser.post(f"{PASSKEYS}sign-in/", browser.start()).status_code == 302
    assert browser.cookies["threada_session"].value != fixed


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"origin": "https://threada.example.org"}, "passkey_origin_refused"),
        ({"origin": "http://evil.localhost:8000"}, "passkey_origin_refused"),
        ({"cross_origin": True}, "passkey_origin_refused"),
        ({"rp_id": "example.org"}, "passkey_origin_refused"),
        ({"verified": False}, "passkey_user_not_verified"),
        ({"present": False}, "passkey_invalid"),
        ({"signature": bytes(70)}, "passkey_invalid"),
        ({"user_handle": bytes(32)}, "passkey_unknown"),
        ({"user_handle": b""}, "passkey_unknown"),
        ({"type": "webauthn.create"}, "passkey_challenge_invalid"),
        ({"sign_count": 1}, "passkey_cloned"),
    ],
)
def test_an_answer_that_is_wrong_in_one_respect_signs_nobody_in(
    acme: Tenant, fay: User, wrong: dict[str, Any], reason: str
) -> None:
    browser = Browser(with_passkey(fay).own)
    answer = browser.sign_in(**wrong)
    assert reason_of(answer) == reason
    assert browser.get("/console/").status_code == 302
    assert [one["outcome"]["count"] for one in receipts(acme, "session.sign_in_failed")] == [1]


def test_an_answer_serves_once_and_only_in_its_browser(fay: User) -> None:
    browser = Browser(with_passkey(fay).own)
    browser.get("/console/login/")
    sent = browser.start()
    thief = Browser()
    thief.get("/console/login/")
    assert reason_of(thief.post(f"{PASSKEYS}sign-in/", sent)) == "passkey_challenge_invalid"
    assert reason_of(Browser().post(f"{PASSKEYS}sign-in/", sent)) == "passkey_challenge_invalid"
    same = Browser()
    same.cookies["threada_csrf"] = browser.cookies["threada_csrf"].value
    assert browser.post(f"{PASSKEYS}sign-in/", sent).status_code == 302
    assert reason_of(same.post(f"{PASSKEYS}sign-in/", sent)) in ("passkey_challenge_invalid", "passkey_cloned")


def test_an_answer_of_a_passkey_that_does_not_count_serves_once(fay: User) -> None:
    browser = Browser(with_passkey(fay, Authenticator(counts=False)).own)
    browser.get("/console/login/")
    same = Browser()
    same.cookies["threada_csrf"] = browser.cookies["threada_csrf"].value
    sent = browser.start()
    assert browser.post(f"{PASSKEYS}sign-in/", sent).status_code == 302
    assert reason_of(same.post(f"{PASSKEYS}sign-in/", sent)) == "passkey_challenge_invalid"


def test_a_challenge_expires_after_five_minutes(fay: User, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(with_passkey(fay).own)
    browser.get("/console/login/")
    sent = browser.start()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 301)
    assert reason_of(browser.post(f"{PASSKEYS}sign-in/", sent)) == "passkey_challenge_expired"


def test_an_answer_to_another_ceremony_is_refused(fay: User) -> None:
    inside = with_passkey(fay)
    stepped = inside.start("step-up/")
    assert reason_of(inside.post(f"{PASSKEYS}sign-in/", stepped)) == "passkey_challenge_invalid"
    own_sign_in = inside.start()
    assert reason_of(inside.post(f"{PASSKEYS}step-up/", own_sign_in)) == "passkey_challenge_invalid"
    asked = inside.ask("registration/")
    registered = {"ceremony": asked["ceremony"], "credential": json.dumps(inside.own.create(asked["publicKey"]))}
    assert reason_of(inside.post(f"{PASSKEYS}sign-in/", registered)) == "passkey_challenge_invalid"


def test_an_unknown_passkey_is_refused_and_counted_by_address(fay: User) -> None:
    with_passkey(fay)
    stranger = Authenticator()
    asked = Browser(stranger)
    with_passkey(member(Tenant.objects.get(), "eve"), stranger)
    Passkey.objects.filter(factor__user__username="eve").delete()
    assert reason_of(asked.sign_in()) == "passkey_unknown"
    assert SignInCounter.objects.filter(failures=1).exists()


def test_failed_passkeys_wait_as_failed_passwords_do(fay: User) -> None:
    own = with_passkey(fay).own
    for _ in range(25):
        answer = Browser(own).sign_in(signature=bytes(70))
        if answer.status_code == 429:
            break
    assert reason_of(answer) == "sign_in_delayed"
    assert int(answer["Retry-After"]) >= 1
    SignInCounter.objects.update(failures=20)  # a delay of minutes, which no slow machine outlasts
    assert reason_of(Browser(own).sign_in()) == "sign_in_delayed"


def test_a_copied_passkey_is_refused_recorded_and_notified(acme: Tenant, fay: User) -> None:
    own = with_passkey(fay).own
    before = Passkey.objects.get().sign_count
    assert reason_of(Browser(own).sign_in(sign_count=before)) == "passkey_cloned"
    (receipt,) = receipts(acme, "second_factor.cloned")
    assert receipt["inputs"]["principal"] == fay.public_id
    assert Passkey.objects.get().sign_count == before


def test_a_deactivated_person_and_a_former_member_are_refused(acme: Tenant, fay: User, bob: User) -> None:
    browser, former = Browser(with_passkey(fay).own), Browser(with_passkey(bob).own)
    User.objects.filter(pk=fay.pk).update(is_active=False)
    assert reason_of(browser.sign_in()) == "principal_inactive"
    with unit_of_work(acme.id):
        remove_member(bob, ctx=acting_system(acme))
    assert reason_of(former.sign_in()) in ("tenant_mismatch", "passkey_unknown", "principal_inactive")
    assert ConsoleSession.objects.filter(user=bob).count() <= 1


def test_sign_in_goes_on_to_pages_of_the_console_only(fay: User) -> None:
    own = with_passkey(fay).own
    for asked, onward in (
        ("/console/sessions/", "/console/sessions/"),
        ("https://evil.example/console/", "/console/"),
        ("//evil.example/", "/console/"),
        ("/console/logout/", "/console/"),
    ):
        browser = Browser(own)
        browser.get("/console/login/")
        answer = browser.post(f"{PASSKEYS}sign-in/", {**browser.start(), "next": asked})
        assert answer["Location"] == onward


@pytest.mark.parametrize(
    "sent", ["", "[]", "null", "{", '{"rawId": 1}', "x" * 20_000, '{"rawId": "' + "A" * 3000 + '"}']
)
def test_answers_that_cannot_be_read_are_refused(fay: User, sent: str) -> None:
    browser = with_passkey(fay)
    asked = browser.ask("sign-in/options/")
    answer = browser.post(f"{PASSKEYS}sign-in/", {"ceremony": asked["ceremony"], "credential": sent})
    assert reason_of(answer) == "passkey_invalid"


def test_options_store_nothing(fay: User) -> None:
    browser = Browser()
    browser.get("/console/login/")
    before = (SignInCounter.objects.count(), ConsoleSession.objects.count())
    for _ in range(5):
        assert browser.ask("sign-in/options/")["publicKey"]["rpId"] == "localhost"
    assert (SignInCounter.objects.count(), ConsoleSession.objects.count()) == before


def test_a_passkey_is_bound_to_the_host_it_was_registered_at(fay: User, settings: Settings) -> None:
    browser = Browser(with_passkey(fay).own)
    settings.ALLOWED_HOSTS = ["localhost", "threada.localhost"]
    browser.own.keys[0].rp_id = "threada.localhost"
    browser.own.origin = "http://threada.localhost:8000"
    browser.defaults["HTTP_HOST"] = "threada.localhost:8000"
    assert reason_of(browser.sign_in()) == "passkey_unknown"
