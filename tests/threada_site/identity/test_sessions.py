"""Receipts of sign-ins, failed sign-ins, sign-outs and choices of a tenant."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.conf import settings
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core.handlers.base import BaseHandler
from django.core.signals import request_finished
from django.db import close_old_connections, connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from telemetry.models import AccountEvent, Receipt, SignInFailures
from tests.factories import PASSWORD, acting, acting_system, make_principal, make_tenant
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.passwords import set_password
from threada_site.identity.sessions import RECEIPTS_PER_HOUR
from threada_site.kernel.json.canonical import commitment
from threada_site.tenancy.models import Tenant, User
from workitems.retention.erasure import erase_principal

AGENT = "Mozilla/5.0 (X11; Linux x86_64)"


@pytest.fixture
def alice(tenant: Tenant, settings: Any) -> User:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    person = make_principal(tenant, "alice", roles=["viewer"])
    with unit_of_work(tenant.id):
        set_password(person, PASSWORD, ctx=acting_system(tenant))
    return person


def sign_in(name: str, password: str = PASSWORD, **headers: Any) -> tuple[Client, Any]:
    browser = Client(**{"REMOTE_ADDR": "203.0.113.9", "HTTP_USER_AGENT": AGENT, **headers})
    return browser, browser.post("/console/login/", {"username": name, "password": password, "next": "/console/"})


def receipts(tenant: Tenant, kind: str = "session.") -> list[dict[str, Any]]:
    with unit_of_work(tenant.id):
        return [orjson.loads(bytes(row.body)) for row in Receipt.objects.filter(kind__startswith=kind).order_by("id")]


def test_sign_in_and_out_leave_receipts_with_commitments(alice: User, tenant: Tenant) -> None:
    browser, _ = sign_in("alice")
    browser.post("/console/logout/")
    signed_in, signed_out = receipts(tenant)
    assert (signed_in["kind"], signed_out["kind"]) == ("session.signed_in", "session.signed_out")
    assert signed_in["actor"]["principal"] == signed_in["inputs"]["principal"] == alice.public_id
    with unit_of_work(tenant.id):
        event = AccountEvent.objects.filter(principal_id=alice.id).order_by("receipt_id").exclude(address="").first()
    assert event is not None
    assert (event.address, event.user_agent) == ("203.0.113.9", AGENT)
    assert signed_in["inputs"]["address_commitment"] == commitment(bytes(event.salt), "203.0.113.9")
    assert signed_in["inputs"]["user_agent_commitment"] == commitment(bytes(event.salt), AGENT)
    assert "203.0.113" not in str(receipts(tenant))
    assert "Mozilla" not in str(receipts(tenant))


def test_choosing_a_tenant_leaves_a_receipt_there_only(alice: User, tenant: Tenant) -> None:
    other = make_tenant("globex")
    make_principal(other, "alice", roles=["viewer"])
    browser, _ = sign_in("alice")
    browser.post("/console/tenant/", {"tenant": "globex"})
    assert [one["kind"] for one in receipts(tenant)] == ["session.signed_in"]
    assert [one["kind"] for one in receipts(other)] == ["session.signed_in", "session.tenant_chosen"]


def test_a_failed_sign_in_is_recorded_and_answered_like_an_unknown_name(alice: User, tenant: Tenant) -> None:
    _, known = sign_in("alice", "wrong password, clearly")
    _, unknown = sign_in("nobody", "wrong password, clearly")
    (failed,) = receipts(tenant)
    assert failed["kind"] == "session.sign_in_failed"
    assert failed["actor"]["principal"] == "system"
    assert failed["inputs"]["principal"] == alice.public_id
    assert failed["outcome"] == {"count": 1}
    assert known.status_code == unknown.status_code == 200

    def text(answer: Any) -> list[str]:
        lines = answer.content.decode().replace("alice", "NAME").replace("nobody", "NAME").splitlines()
        return [line for line in lines if "csrfmiddlewaretoken" not in line]

    assert text(known) == text(unknown)


def statements_before_the_answer(name: str, number: int) -> list[str]:
    """Return the statements of a failed sign-in until its answer is given to the web server, without their values."""
    form = {"username": name, "password": "wrong password, clearly", "csrfmiddlewaretoken": "a" * 32}
    request = RequestFactory(REMOTE_ADDR=f"198.51.{number}.1").post("/console/login/", form)
    request.COOKIES[settings.CSRF_COOKIE_NAME] = "a" * 32
    handler = BaseHandler()
    handler.load_middleware()
    with CaptureQueriesContext(connection) as captured:
        answer = handler.get_response(request)
    statements = [re.sub(r"'[^']*'|\d+", "?", query["sql"]) for query in captured.captured_queries]
    assert answer.status_code == 200
    request_finished.disconnect(close_old_connections)
    try:
        answer.close()
    finally:
        request_finished.connect(close_old_connections)
    return statements


def test_answer_to_an_unknown_name_does_the_same_work(alice: User, tenant: Tenant) -> None:
    known, unknown = statements_before_the_answer("alice", 1), statements_before_the_answer("nobody", 2)
    assert known == unknown
    assert known
    assert len(receipts(tenant)) == 1, "recorded after the answer"


@pytest.mark.parametrize("name", ["alice", "nobody"])
def test_a_wrong_password_costs_one_hash(alice: User, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    encode = MD5PasswordHasher.encode

    def counted(hasher: MD5PasswordHasher, password: str, salt: str) -> str:
        hashed.append(password)
        return encode(hasher, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", counted)
    sign_in(name, "wrong password, clearly")
    assert len(hashed) == 1


def test_a_stranger_cannot_fill_the_log(alice: User, tenant: Tenant) -> None:
    for number in range(RECEIPTS_PER_HOUR + 3):
        sign_in("alice", "wrong password, clearly", REMOTE_ADDR=f"198.51.{number}.1")
    assert len(receipts(tenant)) == RECEIPTS_PER_HOUR
    sign_in("alice")
    *_, counted, signed_in = receipts(tenant)
    assert counted["kind"] == "session.sign_in_failed"
    assert counted["outcome"]["count"] == 3
    assert signed_in["kind"] == "session.signed_in"
    sign_in("alice", "wrong password, clearly")
    assert len(receipts(tenant)) == RECEIPTS_PER_HOUR + 2, "a sign-in does not begin a new hour"
    with unit_of_work(tenant.id):
        failures = SignInFailures.objects.get()
        failures.since -= timedelta(hours=1)
        failures.save()
    sign_in("alice", "wrong password, clearly")
    counts = [one["outcome"].get("count") for one in receipts(tenant)]
    assert counts[-2:] == [1, 1]


def test_names_that_are_no_accounts_leave_nothing(tenant: Tenant) -> None:
    make_principal(tenant, "robot", "service")
    for name in ("nobody", "robot", "", "a" * 300, "al\x00ice", "Ä"):
        sign_in(name, "wrong password, clearly")
    assert receipts(tenant) == []


def test_only_the_trusted_proxy_names_the_address(alice: User, tenant: Tenant, settings: Any) -> None:
    forged = {"HTTP_X_FORWARDED_FOR": "198.51.100.1, 192.0.2.7"}
    sign_in("alice", **forged)
    settings.THREADA_TRUSTED_PROXY = True
    sign_in("alice", **forged)
    with unit_of_work(tenant.id):
        addresses = AccountEvent.objects.exclude(address="").order_by("receipt_id").values_list("address", flat=True)
        assert list(addresses) == ["203.0.113.9", "192.0.2.7"]


def test_erasing_the_person_erases_addresses_and_user_agents(alice: User, tenant: Tenant) -> None:
    steward = make_principal(tenant, "steward", roles=["tenant_admin"])
    sign_in("alice", "wrong password, clearly")
    sign_in("alice")
    before = receipts(tenant)
    with unit_of_work(tenant.id):
        erase_principal(alice, ctx=acting(tenant, steward))
        events = AccountEvent.objects.filter(principal_id=alice.id)
        assert {(one.address, one.user_agent, bytes(one.salt)) for one in events} == {("", "", b"")}
        assert not SignInFailures.objects.exists()
    assert receipts(tenant) == before
