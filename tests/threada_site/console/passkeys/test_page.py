"""Registration of passkeys on the page of second factors, and who may not register any."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from tests.factories import make_principal, make_tenant
from tests.jobs import queued_jobs
from tests.receivers.oidc_provider import OidcProvider
from tests.threada_site.console.passkeys.browsers import FACTORS, PASSKEYS, Browser, reason_of, with_passkey
from tests.threada_site.console.passkeys.test_sign_in import receipts
from tests.threada_site.sign_in.people import put_provider, sign_in_at
from threada_site.identity.factors.recovery_codes import recovery_codes_left
from threada_site.kernel import clock
from threada_site.tenancy.models import ConsoleSession, EnrolledFactor, Passkey, Tenant, User


def page(browser: Client) -> str:
    return browser.get(FACTORS).content.decode()


def problem(answer: Any) -> str:
    assert answer.status_code == 422, answer
    return str(answer.content.decode().split('role="alert"><p>')[1].split("</p>")[0])


def forget_proof(browser: Client) -> None:
    """Make the sign-in and the last step-up older than five minutes."""
    session = browser.session
    session["reauthenticated_at"] = session["signed_in_at"] = (clock.now() - timedelta(minutes=6)).timestamp()
    session.save()


def key_of(label: str) -> str:
    return EnrolledFactor.objects.get(label=label).public_id


def test_a_person_registers_names_lists_and_removes_passkeys(acme: Tenant, fay: User) -> None:
    browser = with_passkey(fay)
    assert browser.register("Security key").status_code == 302
    assert "Laptop" in page(browser)
    renamed = {"do": "rename", "factor": key_of("Laptop"), "label": "Old laptop"}
    assert browser.post(FACTORS, renamed).status_code == 302
    assert browser.post(FACTORS, {"do": "remove", "factor": key_of("Security key")}).status_code == 302
    shown = page(browser).split("<table")[1].split("</table>")[0]
    assert "Old laptop" in shown
    assert "Security key" not in shown
    assert [row.factor.label for row in Passkey.objects.all()] == ["Old laptop"]
    told = receipts(acme, "second_factor.")
    assert [one["kind"].partition(".")[2] for one in told] == ["enrolled", "enrolled", "removed"]
    assert {one["inputs"]["method"] for one in told} == {"passkey"}
    assert "aptop" not in json.dumps(told)
    assert str(queued_jobs(telling=True)).count("factor_enrolled") == 2
    assert browser.get("/console/security-history/").content.decode().count("Second factor enrolled") == 2


def test_the_first_passkey_comes_with_recovery_codes_and_ends_other_sessions(fay: User) -> None:
    before = Browser()
    before.open_session("fay")
    browser = Browser()
    browser.open_session("fay")
    assert "Recovery codes" in browser.register().content.decode()
    assert recovery_codes_left(fay.id) > 0
    assert ConsoleSession.objects.filter(user=fay).count() == 1
    assert browser.get("/console/").wsgi_request.acting_context.authentication.factors == ("password", "passkey")


def test_all_passkeys_of_a_person_have_one_random_user_handle(fay: User, bob: User) -> None:
    browser = with_passkey(fay)
    browser.register("Other")
    with_passkey(bob)
    handles = [bytes(row.user_handle) for row in Passkey.objects.order_by("factor_id")]
    assert handles[0] == handles[1] != handles[2]
    assert {len(handle) for handle in handles} == {32}
    assert not any(fay.id.bytes in handle or b"fay" in handle for handle in handles)


def test_receipts_are_written_in_every_tenant_of_the_person(acme: Tenant, fay: User) -> None:
    other = make_tenant("other")
    make_principal(other, "fay", roles=["viewer"])
    browser = Browser()
    browser.open_session("fay")
    browser.post("/console/tenant/", {"tenant": "acme"})
    assert browser.register().status_code == 200
    assert [len(receipts(tenant, "second_factor.enrolled")) for tenant in (acme, other)] == [1, 1]


def test_nothing_is_registered_without_a_fresh_proof(fay: User) -> None:
    browser = with_passkey(fay)
    asked = browser.ask("registration/")
    forget_proof(browser)
    assert browser.ask("registration/")["reason_code"] == "step_up_required"
    answer = browser.own.create(asked["publicKey"])
    late = browser.send(FACTORS, asked["ceremony"], answer, do="register", label="x")
    assert late["Location"].startswith("/console/second-factors/confirm/")
    renamed = browser.post(FACTORS, {"do": "rename", "factor": key_of("Laptop"), "label": "x"})
    assert renamed["Location"].startswith("/console/second-factors/confirm/")
    assert [row.factor.label for row in Passkey.objects.all()] == ["Laptop"]
    assert "Register passkey" not in page(browser)
    assert browser.step_up().json() == {"onward": "/console/"}
    assert browser.register("y").status_code == 302


def test_passkeys_of_other_people_cannot_be_changed(fay: User, bob: User) -> None:
    with_passkey(bob)
    stranger = Browser()
    stranger.open_session("fay")
    for wanted in ("remove", "rename"):
        sent = {"do": wanted, "factor": key_of("Laptop"), "label": "mine"}
        assert stranger.post(FACTORS, sent).status_code == 404
    assert Passkey.objects.get().factor.label == "Laptop"


def test_an_id_is_registered_once_in_the_instance(fay: User, bob: User) -> None:
    theirs = with_passkey(fay).own.keys[0]
    browser = Browser()
    browser.open_session("bob")
    asked = browser.ask("registration/")
    answer = browser.own.create(asked["publicKey"], credential=theirs.data, raw_id=theirs.credential_id)
    refused = browser.send(FACTORS, asked["ceremony"], answer, do="register", label="copy")
    assert "passkey_registered" in problem(refused)
    assert EnrolledFactor.objects.filter(user=bob).count() == 0


def test_a_registration_serves_once_in_its_session(fay: User, bob: User) -> None:
    browser = with_passkey(fay)
    asked = browser.ask("registration/")
    answer = browser.own.create(asked["publicKey"])
    other = with_passkey(bob)
    theft = other.send(FACTORS, asked["ceremony"], answer, do="register", label="theft")
    assert "passkey_challenge_invalid" in problem(theft)
    assert browser.send(FACTORS, asked["ceremony"], answer, do="register", label="a").status_code == 302
    Passkey.objects.filter(factor__label="a").delete()
    again = browser.send(FACTORS, asked["ceremony"], answer, do="register", label="b")
    assert "passkey_challenge_invalid" in problem(again)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"origin": "https://evil.example"}, "passkey_origin_refused"),
        ({"verified": False}, "passkey_user_not_verified"),
        ({"type": "webauthn.get"}, "passkey_challenge_invalid"),
        ({"rp_id": "example.org"}, "passkey_origin_refused"),
    ],
)
def test_a_wrong_registration_is_refused(fay: User, wrong: dict[str, Any], reason: str) -> None:
    assert reason in problem(with_passkey(fay).register("x", **wrong))
    assert Passkey.objects.count() == 1


@pytest.mark.parametrize("name", ["x" * 101, "a\u202eb", "a\nb"])
def test_a_passkey_has_a_name_that_can_be_shown(fay: User, name: str) -> None:
    assert "invalid_request" in problem(with_passkey(fay).register(name))


def test_an_ip_address_has_no_passkeys(fay: User) -> None:
    browser = Browser()
    browser.defaults["HTTP_HOST"] = "127.0.0.1:8000"
    browser.open_session("fay")
    assert browser.ask("registration/")["reason_code"] == "passkeys_unavailable"
    assert "Passkeys cannot be used at this address" in page(browser)


def test_a_session_that_a_provider_opened_registers_none(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    browser, _ = sign_in_at(provider)
    assert "New passkey" not in page(browser)
    answer = browser.post(f"{PASSKEYS}registration/", headers={"host": "localhost:8000"})
    assert (answer.status_code, answer.json()["reason_code"]) == (403, "permission_denied")


def test_removed_passkeys_sign_nobody_in(fay: User) -> None:
    browser = with_passkey(fay)
    browser.post(FACTORS, {"do": "remove", "factor": key_of("Laptop")})
    assert reason_of(Browser(browser.own).sign_in()) == "passkey_unknown"
    assert Passkey.objects.count() == 0
