"""Page of one's own passkeys: registration, names and removal, and who may not change them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from tests.authenticator import Authenticator
from tests.factories import make_principal, make_tenant
from tests.receivers.oidc_provider import OidcProvider
from tests.threada_site.console.passkeys.browsers import PASSKEYS, Browser, with_passkey
from tests.threada_site.console.passkeys.test_sign_in import receipts
from tests.threada_site.sign_in.people import put_provider, sign_in_at
from threada_site.identity.factors.passkeys.registration import MOST_PASSKEYS
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import EnrolledFactor, Passkey, Tenant, User


def page(browser: Client) -> str:
    return browser.get(PASSKEYS).content.decode()


def problem(answer: Any) -> str:
    assert answer.status_code == 422, answer
    return str(answer.content.decode().split('role="alert"><p>')[1].split("</p>")[0])


def forget_proof(browser: Client) -> None:
    session = browser.session
    session["reauthenticated_at"] = (clock.now() - timedelta(minutes=6)).timestamp()
    session.save()


def key_of(label: str) -> str:
    return EnrolledFactor.objects.get(label=label).public_id


def test_a_person_registers_names_lists_and_removes_passkeys(acme: Tenant, fay: User) -> None:
    browser = with_passkey(fay)
    assert browser.register("Security key").status_code == 302
    assert "Laptop" in page(browser)
    assert "Security key" in page(browser)
    renamed = {"action": "rename", "passkey": key_of("Laptop"), "name": "Old laptop"}
    assert browser.post(PASSKEYS, renamed).status_code == 302
    assert browser.post(PASSKEYS, {"action": "remove", "passkey": key_of("Security key")}).status_code == 302
    assert "Security key" not in page(browser).split("<table")[1].split("</table>")[0]
    assert [row.factor.label for row in Passkey.objects.all()] == ["Old laptop"]
    kinds = [one["kind"] for one in receipts(acme, "second_factor.")]
    assert kinds == [
        "second_factor.enrolled",
        "second_factor.enrolled",
        "second_factor.renamed",
        "second_factor.removed",
    ]
    assert all("aptop" not in json.dumps(one) for one in receipts(acme, "second_factor."))


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
    browser.confirm()
    assert browser.register().status_code == 302
    assert [len(receipts(tenant, "second_factor.enrolled")) for tenant in (acme, other)] == [1, 1]


def test_nothing_is_changed_without_a_recent_proof(fay: User) -> None:
    browser = with_passkey(fay)
    asked = browser.ask("registration/")
    forget_proof(browser)
    assert browser.ask("registration/")["reason_code"] == "step_up_required"
    answer = browser.own.create(asked["publicKey"])
    late = browser.send(PASSKEYS, asked["ceremony"], answer, action="register", name="x")
    assert "step_up_required" in problem(late)
    for sent in (
        {"action": "remove", "passkey": key_of("Laptop")},
        {"action": "rename", "passkey": key_of("Laptop"), "name": "x"},
    ):
        assert "step_up_required" in problem(browser.post(PASSKEYS, sent))
    assert Passkey.objects.count() == 1
    assert "Register passkey" not in page(browser)


def test_a_wrong_password_is_no_proof_and_five_end_the_session(fay: User) -> None:
    browser = Browser()
    browser.open_session("fay")
    for _ in range(4):
        assert "step_up_failed" in problem(browser.confirm("wrong password, clearly"))
    assert browser.confirm("wrong password, clearly")["Location"] == "/console/login/"


def test_passkeys_of_other_people_cannot_be_changed(fay: User, bob: User) -> None:
    with_passkey(bob)
    stranger = Browser()
    stranger.open_session("fay")
    stranger.confirm()
    for action in ("remove", "rename"):
        sent = {"action": action, "passkey": key_of("Laptop"), "name": "mine"}
        assert "not_found" in problem(stranger.post(PASSKEYS, sent))
    assert Passkey.objects.get().factor.label == "Laptop"


def test_an_id_is_registered_once_in_the_instance(fay: User, bob: User) -> None:
    theirs = with_passkey(fay).own.keys[0]
    browser = Browser()
    browser.open_session("bob")
    browser.confirm()
    asked = browser.ask("registration/")
    answer = browser.own.create(asked["publicKey"], credential=theirs.data, raw_id=theirs.credential_id)
    refused = browser.send(PASSKEYS, asked["ceremony"], answer, action="register", name="copy")
    assert "passkey_registered" in problem(refused)
    assert EnrolledFactor.objects.filter(user=bob).count() == 0


def test_a_registration_serves_once_in_its_session(fay: User, bob: User) -> None:
    browser = with_passkey(fay)
    asked = browser.ask("registration/")
    answer = browser.own.create(asked["publicKey"])
    other = with_passkey(bob)
    theft = other.send(PASSKEYS, asked["ceremony"], answer, action="register", name="theft")
    assert "passkey_challenge_invalid" in problem(theft)
    assert browser.send(PASSKEYS, asked["ceremony"], answer, action="register", name="a").status_code == 302
    Passkey.objects.filter(factor__label="a").delete()
    again = browser.send(PASSKEYS, asked["ceremony"], answer, action="register", name="b")
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


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\u202eb", "a\nb"])
def test_a_passkey_has_a_name_that_can_be_shown(fay: User, name: str) -> None:
    assert "invalid_request" in problem(with_passkey(fay).register(name))


def test_a_person_has_at_most_twenty(fay: User) -> None:
    browser = with_passkey(fay)
    for number in range(MOST_PASSKEYS - 1):
        assert browser.register(f"Key {number}").status_code == 302
    assert browser.ask("registration/")["reason_code"] == "conflict"


def test_an_ip_address_has_no_passkeys(fay: User) -> None:
    browser = Browser()
    browser.defaults["HTTP_HOST"] = "127.0.0.1:8000"
    browser.open_session("fay")
    browser.confirm()
    assert browser.ask("registration/")["reason_code"] == "passkeys_unavailable"
    assert "Passkeys cannot be used at this address" in page(browser)


def test_a_session_that_a_provider_opened_registers_none(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    browser, _ = sign_in_at(provider)
    session = browser.session
    session["reauthenticated_at"] = clock.now().timestamp()
    session.save()
    assert "An identity provider opened this session" in page(browser)
    answer = browser.post(f"{PASSKEYS}registration/", headers={"host": "localhost:8000"})
    assert (answer.status_code, answer.json()["reason_code"]) == (403, "permission_denied")
    sent = {"action": "remove", "passkey": ids.public_id(ids.FACTOR, ids.new_uuid())}
    assert "permission_denied" in problem(browser.post(PASSKEYS, sent))


def test_removed_passkeys_sign_nobody_in(fay: User) -> None:
    browser = with_passkey(fay, Authenticator())
    browser.post(PASSKEYS, {"action": "remove", "passkey": key_of("Laptop")})
    answer = Browser(browser.own).sign_in()
    assert "passkey_unknown" in answer.content.decode()
