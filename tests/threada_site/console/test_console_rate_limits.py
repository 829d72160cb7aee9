"""Limits of console requests: per account and per tenant, with a page that says when to retry."""

from __future__ import annotations

from collections.abc import Callable

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from telemetry.models import Receipt
from tests.client import Api
from tests.console.sign_in import sign_in
from tests.factories import make_principal, make_token
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant

type Limit = Callable[..., None]


def person(tenant: Tenant, name: str) -> Client:
    return sign_in(make_principal(tenant, name, roles=["tenant_admin"]))


def pages(browser: Client, count: int) -> list[int]:
    return [browser.get("/console/password_change/").status_code for _ in range(count)]


def statements(browser: Client) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        browser.get("/console/password_change/")
    return [query["sql"] for query in captured]


def test_beyond_the_burst_a_page_says_when_to_retry(rate_limits: Limit, tenant: Tenant) -> None:
    eve = person(tenant, "eve")
    rate_limits(account=0.01, burst_seconds=300)
    assert pages(eve, 10) == [200] * 3 + [429] * 7
    refused = eve.get("/console/")
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 100
    assert refused.headers["RateLimit-Remaining"] == "0"
    text = refused.content.decode()
    assert "<h1>Too many requests</h1>" in text
    assert "0.01 requests per second of this account" in text
    assert "frame-ancestors" in refused.headers["Content-Security-Policy"]


def test_a_refused_page_reads_no_session(rate_limits: Limit, tenant: Tenant) -> None:
    eve = person(tenant, "eve")
    rate_limits(account=0.01, burst_seconds=100)
    pages(eve, 20)
    assert min(len(statements(eve)) for _ in range(10)) == 0
    with unit_of_work(tenant.id):
        reasons = list(Receipt.objects.filter(kind="request.refused").values_list("reason_codes", flat=True))
    assert reasons == [["rate_limited"]] * 10


def test_a_page_below_the_limit_needs_no_extra_statement(rate_limits: Limit, tenant: Tenant) -> None:
    eve = person(tenant, "eve")
    pages(eve, 1)
    unlimited = len(statements(eve))
    rate_limits(account=20, tenant=200)
    assert len(statements(eve)) == unlimited + 1
    assert [len(statements(eve)) for _ in range(4)] == [unlimited] * 4


def test_another_account_is_not_affected(rate_limits: Limit, tenant: Tenant) -> None:
    eve, adam = person(tenant, "eve"), person(tenant, "adam")
    rate_limits(account=0.01, burst_seconds=500)
    assert pages(eve, 8) == [200] * 5 + [429] * 3
    assert pages(adam, 4) == [200] * 4


def test_people_of_a_tenant_share_a_bucket_apart_from_its_credentials(rate_limits: Limit, tenant: Tenant) -> None:
    eve, adam = person(tenant, "eve"), person(tenant, "adam")
    client = Api(make_token(tenant, make_principal(tenant, "rita", roles=["requester"])))
    client.get("/me")
    rate_limits(account=100, credential=100, tenant=0.01, burst_seconds=500)
    assert 429 in [client.get("/me").status_code for _ in range(8)]
    assert pages(eve, 1) == [200]
    assert 429 in pages(adam, 8)


def test_signing_in_and_static_files_are_not_limited(rate_limits: Limit, tenant: Tenant) -> None:
    rate_limits(account=1, credential=1, tenant=1, address=1)
    stranger = Client()
    for path in ("/console/login/", "/static/console/failure.css", "/healthz", "/openapi.json"):
        assert {stranger.get(path).status_code for _ in range(20)} == {200}, path
