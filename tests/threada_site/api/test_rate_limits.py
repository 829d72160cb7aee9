"""Limits of API requests: by credential, by tenant, and for failed authentications by address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from telemetry.models import Receipt
from tests.client import Api
from tests.console.sign_in import sign_in
from tests.factories import acting_system, make_principal, make_token
from tests.threada_site.api.conftest import assert_problem, refusals_of
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.credentials import revoke_credential
from threada_site.kernel import tokens
from threada_site.runtime.web.addresses import Addresses
from threada_site.runtime.web.limits import Limits
from threada_site.tenancy.models import Credential, Tenant, User
from threada_site.tenancy.request_limits import client_key, forget

type Limit = Callable[..., None]


def statuses(client: Api, count: int, path: str = "/me") -> list[int]:
    return [client.get(path).status_code for _ in range(count)]


def statements(client: Api, path: str = "/me") -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        client.get(path)
    return [query["sql"] for query in captured]


class TestOfACredential:
    def test_beyond_the_burst_requests_are_refused(self, rate_limits: Limit, client: Api, tenant: Tenant) -> None:
        rate_limits(credential=1)
        assert statuses(client, 5) == [200] * 5
        refused = next(answer for answer in (client.get("/me") for _ in range(5)) if answer.status_code != 200)
        document = assert_problem(refused, 429, "rate_limited")
        assert "1 requests per second of this credential" in document["detail"]
        assert refused.headers["Retry-After"] == "1"
        assert refused.headers["RateLimit-Limit"] == "5"
        assert refused.headers["RateLimit-Remaining"] == "0"
        assert 1 <= int(refused.headers["RateLimit-Reset"]) <= 5
        assert refusals_of(tenant) == [("rate_limited",)]

    def test_an_answer_says_what_is_left(self, rate_limits: Limit, client: Api) -> None:
        rate_limits(credential=10, tenant=100)
        answers = [client.get("/me") for _ in range(2)]
        for answer in answers:
            assert answer.headers["RateLimit-Limit"] == "50"
            assert answer.headers["RateLimit-Reset"] == "1"
        assert [int(answer.headers["RateLimit-Remaining"]) for answer in answers] in ([49, 48], [49, 49])

    def test_so_does_a_refusal(self, rate_limits: Limit, client: Api) -> None:
        rate_limits(credential=10)
        answer = client.get("/work-items/nonsense")
        assert answer.status_code == 404
        assert answer.headers["RateLimit-Limit"] == "50"

    def test_without_limits_nothing_is_said(self, client: Api) -> None:
        assert "RateLimit-Limit" not in client.get("/me").headers

    def test_a_warm_process_needs_no_extra_statement(self, rate_limits: Limit, client: Api) -> None:
        client.get("/me")
        unlimited = statements(client)
        rate_limits(credential=100, tenant=200, address=10)
        forget()
        assert len(statements(client)) == len(unlimited)  # the first request is charged afterwards
        assert len(statements(client)) == len(unlimited) + 1  # the second one leases two blocks
        for _ in range(20):
            assert len(statements(client)) == len(unlimited)

    def test_the_lease_is_outside_of_the_transaction(self, rate_limits: Limit, client: Api) -> None:
        rate_limits(credential=100)
        client.get("/me")
        assert "threada_lease_tokens" in statements(client)[0]

    def test_a_refused_request_whose_receipt_is_counted_needs_no_statement(
        self, rate_limits: Limit, client: Api, tenant: Tenant
    ) -> None:
        rate_limits(credential=1, burst_seconds=1)
        statuses(client, 20)
        assert min(len(statements(client)) for _ in range(20)) == 0
        assert set(refusals_of(tenant)) == {("rate_limited",)}
        assert len(refusals_of(tenant)) == 10

    def test_the_receipt_names_the_credential_and_the_request(
        self, rate_limits: Limit, client: Api, tenant: Tenant, requester: User
    ) -> None:
        rate_limits(credential=1, burst_seconds=1)
        refused = next(answer for answer in (client.get("/me") for _ in range(10)) if answer.status_code == 429)
        with unit_of_work(tenant.id):
            receipt = Receipt.objects.filter(kind="request.refused").earliest("id")
        assert receipt.actor_id == requester.id
        assert receipt.correlation_id == refused.json()["correlation_id"]

    def test_another_credential_is_not_affected(
        self, rate_limits: Limit, client: Api, tenant: Tenant, requester: User
    ) -> None:
        rate_limits(credential=1)
        assert 429 in statuses(client, 8)
        assert statuses(Api(make_token(tenant, requester)), 4) == [200] * 4


class TestOfATenant:
    def test_its_credentials_share_one_bucket(
        self, rate_limits: Limit, client: Api, tenant: Tenant, requester: User, other_tenant: Tenant
    ) -> None:
        rate_limits(credential=100, tenant=1)
        second = Api(make_token(tenant, requester))
        foreign = Api(make_token(other_tenant, make_principal(other_tenant, "olga", roles=["requester"])))
        assert 429 in statuses(client, 8)
        assert statuses(second, 3) == [429, 429, 429]
        refused = second.get("/me")
        assert "of this tenant" in refused.json()["detail"]
        assert statuses(foreign, 4) == [200] * 4

    def test_new_credentials_are_no_way_around_it(self, rate_limits: Limit, tenant: Tenant, requester: User) -> None:
        rate_limits(credential=100, tenant=1, burst_seconds=1)
        found = [Api(make_token(tenant, requester)).get("/me").status_code for _ in range(12)]
        assert found[0] == 200
        assert found.count(429) >= 7

    def test_its_people_can_still_stop_a_credential(self, rate_limits: Limit, client: Api, tenant: Tenant) -> None:
        eve = sign_in(make_principal(tenant, "eve", roles=["tenant_admin"]))
        client.get("/me")
        rate_limits(account=100, credential=100, tenant=2)
        assert 429 in statuses(client, 15)
        assert [eve.get("/console/password_change/").status_code for _ in range(4)] == [200] * 4


class TestOfAnAddress:
    def test_failures_beyond_the_burst_are_refused_without_a_statement(
        self, rate_limits: Limit, tenant: Tenant
    ) -> None:
        rate_limits(address=1)
        stranger = Api(tokens.new_token())
        found = statuses(stranger, 12)
        assert found[:5] == [401] * 5
        assert found[-3:] == [429] * 3
        assert statements(stranger) == []
        assert_problem(stranger.get("/me"), 429, "rate_limited")

    def test_a_known_credential_of_the_address_passes(self, rate_limits: Limit, client: Api) -> None:
        client.get("/me")
        rate_limits(address=1, credential=100)
        assert 429 in [Api(tokens.new_token()).get("/me").status_code for _ in range(30)]
        assert statuses(client, 10) == [200] * 10

    def test_so_does_a_new_credential_beside_one_bad_token(
        self, rate_limits: Limit, client: Api, tenant: Tenant
    ) -> None:
        rate_limits(address=1, credential=100)
        assert statuses(Api(tokens.new_token()), 200)[-1] == 429
        assert statuses(client, 10) == [200] * 10

    def test_unknown_tokens_cost_a_bounded_number_of_authentications(self, rate_limits: Limit, tenant: Tenant) -> None:
        rate_limits(address=1)
        with CaptureQueriesContext(connection) as captured:
            for _ in range(200):
                Api(tokens.new_token()).get("/me")
        assert 5 <= sum("threada_enter" in query["sql"] for query in captured) <= 20

    def test_failures_beyond_the_limit_leave_no_receipt(
        self, rate_limits: Limit, client: Api, tenant: Tenant, token: str
    ) -> None:
        client.get("/me")
        rate_limits(address=1)
        with unit_of_work(tenant.id):
            revoked = Credential.objects.get(token_sha256=tokens.digest(token))
            revoke_credential(revoked, ctx=acting_system(tenant))
        found = statuses(client, 30)
        assert found[0] == 401
        assert found[-1] == 429
        assert len(refusals_of(tenant)) == found.count(401) <= 6

    def test_missing_and_malformed_tokens_are_not_counted(self, rate_limits: Limit, db: None) -> None:
        rate_limits(address=1)
        assert set(statuses(Api(), 20) + statuses(Api("thr_short"), 20)) == {401}
        assert Api(tokens.new_token()).get("/me").status_code == 401

    def test_another_address_is_not_affected(self, rate_limits: Limit, tenant: Tenant) -> None:
        rate_limits(address=1)
        assert 429 in statuses(Api(tokens.new_token()), 12)
        elsewhere = Api(tokens.new_token())
        elsewhere.client.defaults["REMOTE_ADDR"] = "192.0.2.7"
        assert statuses(elsewhere, 1) == [401]

    def test_invented_forwarded_addresses_do_not_reset_the_count(self, rate_limits: Limit, tenant: Tenant) -> None:
        rate_limits(address=1)
        found = [
            Api(tokens.new_token(), headers={"X-Forwarded-For": f"192.0.2.{number}"}).get("/me").status_code
            for number in range(40)
        ]
        assert found[-1] == 429


class TestClientKey:
    @pytest.mark.parametrize(
        ("meta", "expected"),
        [
            ({"REMOTE_ADDR": "192.0.2.1"}, "192.0.2.1"),
            ({"REMOTE_ADDR": "::ffff:192.0.2.1"}, "192.0.2.1"),
            ({"REMOTE_ADDR": "2001:db8:1:2:3:4:5:6"}, "2001:db8:1:2::/64"),
            ({"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": "198.51.100.9"}, "192.0.2.1"),
            ({"REMOTE_ADDR": "192.0.2.1", "threada.client": ""}, ""),
            ({"REMOTE_ADDR": "192.0.2.1", "threada.client": "198.51.100.9"}, "198.51.100.9"),
            ({}, ""),
        ],
    )
    def test_it_is_the_address_or_network(self, meta: dict[str, str], expected: str) -> None:
        assert client_key(meta) == expected

    def test_behind_a_proxy_it_is_what_the_proxy_added(self, settings: Any) -> None:
        settings.THREADA_TRUSTED_PROXY = True
        assert (
            client_key({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "1.1.1.1, 198.51.100.9"}) == "198.51.100.9"
        )
        assert client_key({"REMOTE_ADDR": "10.0.0.1"}) == ""

    def test_the_web_server_names_it(self) -> None:
        from threada_site.runtime.web.environ import wsgi_environ

        class Headers:
            def items(self) -> list[tuple[str, str]]:
                return [("threada.client", "x"), ("threada-client", "y")]

            def __len__(self) -> int:
                return 2

        class Scope:
            server, http_version, method, path, query_string = "127.0.0.1:8000", "1.1", "GET", "/me", ""
            scheme, authority, headers = "http", "localhost", Headers()

        addresses = Addresses(Limits(trusts_every_peer=True))
        for forwarded, expected in (("", ""), ("192.0.2.9", "192.0.2.9")):
            client = addresses.client("10.0.0.1", forwarded)
            environ = wsgi_environ(Scope(), client, keeps_forwarded=True)
            assert client_key(environ) == expected
