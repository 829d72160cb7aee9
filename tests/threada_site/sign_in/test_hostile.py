"""Hostile providers, tenants and strangers at the sign-in by OpenID Connect."""

from __future__ import annotations

import json
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client
from joserfc import jws, jwt
from joserfc.jwk import RSAKey
from pytest_django import Settings

from telemetry.models import Receipt
from tests.factories import PASSWORD, acting_system, make_principal, make_tenant
from tests.receivers.oidc_provider import OidcProvider, _part
from tests.threada_site.sign_in.people import begin, finish, put_provider, sign_in_at
from tests.threada_site.sign_in.test_oidc import link_of, reason_of
from tests.threada_site.sign_in.test_providers import document, steward
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.factors import second_step
from threada_site.identity.passwords import set_password
from threada_site.identity.providers.configure import withdraw_provider
from threada_site.kernel.context import EntryPoint
from threada_site.sign_in import metadata, slots
from threada_site.sign_in.pending import MOST_AT_ONCE
from threada_site.tenancy.models import IdentityLink, Tenant, User

pytestmark = pytest.mark.usefixtures("step_up")

NOT_A_NUMBER, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOT_A_NUMBER},
        {"exp": INFINITE},
        {"exp": 10**400},
        {"exp": True},
        {"iat": NOT_A_NUMBER},
        {"nbf": NOT_A_NUMBER},
        {"auth_time": NOT_A_NUMBER, "acr": "urn:mfa"},
        {"nonce": "\ud800"},
        {"at_hash": "\ud800"},
        {"sub": "a\ud800"},
        {"sub": "a\u202eb"},
    ],
    ids=str,
)
def test_odd_claims_are_refused(acme: Tenant, provider: OidcProvider, claims: dict[str, Any]) -> None:
    put_provider(acme, provider, **({"max_age": 60} if "auth_time" in claims else {}))
    provider.sign = lambda whole: provider.signed_bytes(json.dumps(whole).encode())
    refusals = {"identity_token_invalid", "identity_subject_unmapped", "identity_provider_unavailable"}
    assert reason_of(sign_in_at(provider, **claims)[1]) in refusals
    assert not User.objects.filter(kind="human").exists()


@pytest.mark.parametrize(
    "token",
    [
        f"{_part('x')[:-1]}.e30.x",
        f"{'W1tb' * 60_000}.e30.x",
        _part({"alg": "RS256", "kid": "one", "crit": ["x"], "x": 1}) + ".e30.x",
        _part({"alg": ["RS256"]}) + ".e30.x",
        "..",
        "a.b.c.d.e",
        7,
        None,
    ],
    ids=lambda token: str(token)[:20],
)
def test_odd_tokens_are_refused(acme: Tenant, provider: OidcProvider, token: Any) -> None:
    put_provider(acme, provider)
    provider.sign = lambda _claims: token
    assert reason_of(sign_in_at(provider)[1]) == "identity_token_invalid"


def test_deeply_nested_claims_are_refused(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    nested = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
    provider.sign = lambda _claims: provider.signed_bytes(nested)
    assert reason_of(sign_in_at(provider)[1]) == "identity_token_invalid"


@pytest.mark.parametrize("token", ["a\r\nX-Other: 1", "a\ud7ff", " a", 7], ids=repr)
def test_odd_access_tokens_are_not_sent(acme: Tenant, provider: OidcProvider, token: Any) -> None:
    put_provider(acme, provider)
    provider.access_token = token
    answer = sign_in_at(provider)[1]
    assert answer.status_code == 302 if token == 7 else reason_of(answer) == "identity_token_invalid"


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"])
@pytest.mark.parametrize(
    "address",
    [
        "https://[",
        "https://id.example/\r\nSet-Cookie: a=b",
        "https://id.example/#x",
        "https://user@id.example/",
        "http://id.example/",
        "javascript:alert(1)",
        "//id.example/",
        f"https://id.example/{'x' * 20_000}",
        7,
    ],
    ids=lambda address: str(address)[:30],
)
def test_odd_endpoints_are_refused(acme: Tenant, provider: OidcProvider, name: str, address: Any) -> None:
    put_provider(acme, provider)
    provider.metadata = {name: address}
    answer = Client().get("/console/login/acme/corp")
    if name != "userinfo_endpoint":
        assert reason_of(answer) == "identity_provider_unavailable"
        return
    assert sign_in_at(provider)[1].status_code == 302
    assert not any(path == "/userinfo" for path, _, _ in provider.requests)


def test_huge_claims_do_no_harm(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider, roles={"finance": ["approver"]})
    claims = {"email": "a" * 5000 + "@x.example", "name": "n" * 5000, "groups": ["g" * 100] * 800 + [{"a": 1}, None]}
    assert sign_in_at(provider, **claims)[1].status_code == 302
    assert (link_of(acme).user.email, len(link_of(acme).user.display_name)) == ("", 200)
    provider.metadata = {"padding": "x" * 600_000}
    metadata.forget()
    assert reason_of(Client().get("/console/login/acme/corp")) == "identity_provider_unavailable"


def test_a_browser_keeps_few_open_sign_ins(acme: Tenant, provider: OidcProvider) -> None:
    """Another site could open the address again and again, until no request of the browser fits any more."""
    put_provider(acme, provider)
    browser = Client()
    for _ in range(3 * MOST_AT_ONCE):
        begin(browser, onward="/console/" + "x" * 3000)
    open_ones = [
        morsel
        for name, morsel in browser.cookies.items()
        if name.startswith(django_settings.THREADA_SIGN_IN_COOKIE) and morsel.value
    ]
    assert len(open_ones) <= MOST_AT_ONCE
    assert sum(len(morsel.value) for morsel in open_ones) < 4096
    assert finish(browser, provider.authorize(begin(browser))).status_code == 302


def test_a_signed_in_person_is_not_replaced(acme: Tenant, provider: OidcProvider) -> None:
    """Login CSRF by a tenant whose provider signs everybody in as the same account."""
    globex = make_tenant("globex")
    put_provider(globex, provider)
    alice = make_principal(acme, "alice")
    with unit_of_work(acme.id):
        set_password(alice, PASSWORD, ctx=acting_system(acme))
    browser = Client()
    assert browser.post("/console/login/", {"username": "alice", "password": PASSWORD}).status_code == 302
    _, answer = sign_in_at(provider, "globex/corp", browser=browser)
    assert reason_of(answer) == "signed_in_already"
    assert browser.get("/console/").wsgi_request.acting_context.principal_name == "alice"
    with unit_of_work(globex.id):
        assert not IdentityLink.objects.filter(tenant_id=globex.id).exists()
    browser.post("/console/logout/")
    assert sign_in_at(provider, "globex/corp", browser=browser)[1].status_code == 302


def test_headers_of_a_stranger_do_not_name_the_redirect(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example"}
    assert "evil" not in Client().get("/console/login/acme/corp", headers=headers)["Location"]
    assert Client().get("/console/login/acme/corp", headers={"Host": "evil.example"}).status_code == 400


def test_an_answer_belongs_to_one_tenant(acme: Tenant, provider: OidcProvider) -> None:
    globex = make_tenant("globex")
    put_provider(acme, provider)
    put_provider(globex, provider)
    browser = Client()
    answer = provider.authorize(begin(browser))
    begin(browser, "globex/corp")
    assert reason_of(finish(browser, answer, "globex/corp")) == "sign_in_state_invalid"
    assert finish(browser, answer).status_code == 302


def test_an_answer_is_for_the_version_that_asked(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    browser = Client()
    answer = provider.authorize(begin(browser))
    put_provider(acme, provider, roles={"finance": ["approver"]})
    assert reason_of(finish(browser, answer)) == "sign_in_state_invalid"


@pytest.mark.parametrize("change", ["withdrawn", "changed"])
def test_a_provider_withdrawn_while_the_session_is_stored_opens_none(
    acme: Tenant, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The withdrawal ends stored sessions, and this one is stored a moment later."""
    put_provider(acme, provider)
    ann, eve = (steward(acme, name)[1] for name in ("ann", "eve"))
    real = second_step.add_factors

    def add_factors(*arguments: Any) -> None:
        real(*arguments)
        if change == "changed":
            proposed = ann.post("/identity-providers", document(provider, client_id="other")).json()
            where = f"/change-sets/{proposed['change_set_id']}/publish"
            assert eve.post(where, {"digest": proposed["digest"]}).status_code == 200
        else:
            with unit_of_work(acme.id):
                withdraw_provider("corp", ctx=acting_system(acme, EntryPoint.CONSOLE))

    monkeypatch.setattr(second_step, "add_factors", add_factors)
    browser, answer = sign_in_at(provider)
    assert reason_of(answer) == "sign_in_state_invalid"
    assert browser.get("/console/").status_code == 302


@pytest.mark.django_db(transaction=True)
def test_two_answers_at_once_open_one_session(provider: OidcProvider) -> None:
    acme = make_tenant("acme")
    put_provider(acme, provider)
    provider.reuses_codes = True
    browser = Client()
    answer = provider.authorize(begin(browser))
    twins = [Client(), Client()]
    for twin in twins:
        for name, morsel in browser.cookies.items():
            twin.cookies[name] = morsel.value
    found: list[int] = []
    threads = [threading.Thread(target=lambda one=twin: found.append(_status(one, answer))) for twin in twins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count(302) == 1, found
    with unit_of_work(acme.id):
        assert Receipt.objects.filter(kind="session.signed_in").count() == 1
        assert IdentityLink.objects.filter(tenant_id=acme.id).count() == 1


def _status(browser: Client, answer: dict[str, str]) -> int:
    from django.db import connection

    try:
        return int(finish(browser, answer).status_code)
    finally:
        connection.close()


@contextmanager
def hanging_port() -> Iterator[int]:
    """Listen, accept and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_silent_provider_of_one_tenant_delays_no_other(
    provider: OidcProvider, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme, hostile = make_tenant("acme"), make_tenant("hostile")
    put_provider(acme, provider)
    with hanging_port() as port:
        silent = OidcProvider.__new__(OidcProvider)
        silent.issuer = f"http://127.0.0.1:{port}"
        put_provider(hostile, silent)
        for number in range(4):
            put_provider(hostile, silent, f"corp{number}", client_id=str(number))
        answers: list[int] = []

        def knock(number: int) -> None:
            from django.db import connection

            answers.append(Client().get(f"/console/login/hostile/corp{number}").status_code)
            connection.close()

        threads = [threading.Thread(target=knock, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert sign_in_at(provider)[1].status_code == 302
        assert any(thread.is_alive() for thread in threads), "the silent provider answered"
        for thread in threads:
            thread.join()
        assert sorted(answers) == [502, 503, 503, 503]
        began = time.monotonic()
        paused = Client().get("/console/login/hostile/corp")
        assert (paused.status_code, time.monotonic() - began < slots.SLOW_S) == (502, True)
        put_provider(hostile, provider, "healthy")
        paused = sign_in_at(provider, "hostile/healthy")[1]
        assert (paused.status_code, int(paused["Retry-After"]) > 1) == (502, True)


def test_a_busy_sign_in_tries_again_by_itself(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    browser = Client()
    answer = provider.authorize(begin(browser))
    with slots.provider_slot(acme.id):
        pass
    slots._calling.add(acme.id)
    try:
        busy = finish(browser, answer)
    finally:
        slots._calling.discard(acme.id)
    assert (busy.status_code, reason_of(busy), busy["Refresh"]) == (503, "identity_provider_busy", "1")
    assert finish(browser, answer).status_code == 302


def test_private_headers_and_unknown_keys_do_no_harm(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    header = {"alg": "RS256", "kid": "one", "x5t": "x" * 600, "nonce": "x"}
    registry = jws.JWSRegistry(strict_check_header=False)
    registry.max_header_length = 4096
    provider.sign = lambda claims: jwt.encode(header, claims, provider.key, registry=registry)
    provider.other_keys = [
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA", "kid": "k"},
        {"kty": "oct", "k": "AA"},
        7,
    ]
    assert sign_in_at(provider)[1].status_code == 302


def test_short_keys_sign_nobody_in(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    with warnings.catch_warnings(action="ignore"):
        provider.key = RSAKey.generate_key(1024, {"kid": "one", "use": "sig"})
        assert reason_of(sign_in_at(provider)[1]) == "identity_provider_unavailable"


@pytest.mark.parametrize("value", [None, "evil.example", "", 7, ["evil.example"], {"example.com": 1}], ids=repr)
def test_a_required_claim_keeps_other_companies_out(acme: Tenant, provider: OidcProvider, value: Any) -> None:
    """Everybody has an account at a public provider."""
    put_provider(acme, provider, required_claims={"hd": ["example.com"]})
    assert reason_of(sign_in_at(provider, hd=value)[1]) == "identity_claim_missing"
    assert sign_in_at(provider, hd="example.com")[1].status_code == 302
    provider.userinfo = {"sub": "person-1", "hd": "example.com", "groups": []}
    assert sign_in_at(provider)[1].status_code == 302
