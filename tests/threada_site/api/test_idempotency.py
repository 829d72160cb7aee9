"""Idempotency keys: the first response again, including refusals, and never a second effect."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import connection

from tests.client import Api
from tests.factories import make_principal, make_token
from tests.threada_site.api import shelf
from tests.threada_site.api.conftest import assert_problem, channels_of, refusals_of
from threada_site.api.models import IdempotencyRecord
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.urls("tests.threada_site.api.shelf")
KEY = {"Idempotency-Key": "k-1"}


def records(tenant: Tenant) -> list[int]:
    with unit_of_work(tenant.id):
        return list(IdempotencyRecord.objects.order_by("id").values_list("status", flat=True))


class TestSameKey:
    def test_same_body_gets_the_first_response_again(self, tenant: Tenant, client: Api) -> None:
        first = client.post("/channels", {"slug": "web"}, headers=KEY)
        again = client.post("/channels", {"slug": "web"}, headers=KEY)
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.content == first.content == b'{"slug":"web"}'
        assert again.headers["Location"] == "/channels/web"
        assert again.headers["Content-Type"] == "application/json"
        assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")
        assert first.headers["Threada-Correlation-Id"] != again.headers["Threada-Correlation-Id"]
        assert (channels_of(tenant), records(tenant)) == (["web"], [201])

    def test_equivalent_body_counts_as_the_same(self, tenant: Tenant, client: Api) -> None:
        client.post("/channels", b'{"slug": "web", "then": "deny"}', headers=KEY)
        again = client.post("/channels", b'{ "then":"d\\u0065ny",\n"slug":"web"}', headers=KEY)
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (403, "true")

    def test_different_body_is_refused_and_changes_nothing(self, tenant: Tenant, client: Api) -> None:
        client.post("/channels", {"slug": "web"}, headers=KEY)
        response = client.post("/channels", {"slug": "mail"}, headers=KEY)
        assert_problem(response, 422, "idempotency_key_reused")
        assert (channels_of(tenant), records(tenant)) == (["web"], [201])
        assert refusals_of(tenant) == [("idempotency_key_reused",)]

    def test_request_without_a_key_is_processed_every_time(self, tenant: Tenant, client: Api) -> None:
        assert client.post("/channels", {"slug": "web"}).status_code == 201
        assert client.post("/channels", {"slug": "web"}).status_code == 500  # the unique slug; no service is called
        assert records(tenant) == []

    def test_an_answer_is_stored_encrypted(self, tenant: Tenant, client: Api) -> None:
        client.post("/channels", {"slug": "web"}, headers=KEY)
        with unit_of_work(tenant.id):
            assert b"web" not in bytes(IdempotencyRecord.objects.get().response)

    @pytest.mark.parametrize(
        "stored",
        [b"", Fernet(Fernet.generate_key()).encrypt(b"{}"), b"\x01 too short"],
        ids=["empty", "another key", "malformed"],
    )
    def test_work_whose_answer_is_gone_is_not_repeated(self, tenant: Tenant, client: Api, stored: bytes) -> None:
        """As after a restore, after the end of a key, and after an erasure."""
        client.post("/channels", {"slug": "web"}, headers=KEY)
        with unit_of_work(tenant.id):
            IdempotencyRecord.objects.update(response=stored)
        again = client.post("/channels", {"slug": "web"}, headers=KEY)
        assert_problem(again, 409, "idempotency_answer_gone")
        assert again.headers["Location"] == "/channels/web"
        assert channels_of(tenant) == ["web"]
        assert_problem(client.post("/channels", {"slug": "web"}, headers=KEY), 409, "idempotency_answer_gone")

    def test_an_answer_of_an_earlier_version_is_returned(self, tenant: Tenant, client: Api) -> None:
        client.post("/channels", {"slug": "web"}, headers=KEY)
        with unit_of_work(tenant.id):
            IdempotencyRecord.objects.update(response=b'{"slug":"web"}')
        assert client.post("/channels", {"slug": "web"}, headers=KEY).json() == {"slug": "web"}

    def test_key_expires(self, tenant: Tenant, client: Api) -> None:
        client.post("/channels", {"slug": "web"}, headers=KEY)
        with unit_of_work(tenant.id):
            IdempotencyRecord.objects.update(expires_at=clock.now() - timedelta(seconds=1))
        response = client.post("/channels", {"slug": "mail"}, headers=KEY)
        assert (response.status_code, "Idempotent-Replayed" in response.headers) == (201, False)
        assert (channels_of(tenant), records(tenant)) == (["mail", "web"], [201])

    def test_key_is_kept_for_24_hours(self, tenant: Tenant, client: Api) -> None:
        client.post("/channels", {"slug": "web"}, headers=KEY)
        with unit_of_work(tenant.id):
            remaining = IdempotencyRecord.objects.get().expires_at - clock.now()
        assert timedelta(hours=23, minutes=59) < remaining <= timedelta(hours=24)


@pytest.mark.django_db
def test_stored_response_is_read_after_the_lock_is_acquired() -> None:
    """Require a volatile function: only that takes a new snapshot for each of its queries.

    A stable one would miss the response of the request that held the key until just now, and the work would be done
    twice.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT provolatile FROM pg_proc WHERE proname = 'threada_reserve_key'")
        assert cursor.fetchall() == [("v",)]


class TestScopeOfAKey:
    def test_keys_are_separate_for_each_principal(self, tenant: Tenant, client: Api) -> None:
        client.post("/channels", {"slug": "web"}, headers=KEY)
        bob = Api(make_token(tenant, make_principal(tenant, "bob")))
        assert bob.post("/channels", {"slug": "mail"}, headers=KEY).status_code == 201
        assert channels_of(tenant) == ["mail", "web"]

    def test_keys_are_separate_for_each_tenant(self, tenant: Tenant, other_tenant: Tenant, client: Api) -> None:
        client.post("/channels", {"slug": "web"}, headers=KEY)
        carol = Api(make_token(other_tenant, make_principal(other_tenant, "carol")))
        assert carol.post("/channels", {"slug": "web"}, headers=KEY).status_code == 201
        assert (channels_of(tenant), channels_of(other_tenant)) == (["web"], ["web"])

    def test_credentials_of_one_principal_share_keys(self, tenant: Tenant, client: Api, requester: Any) -> None:
        client.post("/channels", {"slug": "web"}, headers=KEY)
        again = Api(make_token(tenant, requester)).post("/channels", {"slug": "web"}, headers=KEY)
        assert again.headers["Idempotent-Replayed"] == "true"

    @pytest.mark.parametrize("key", ["", " ", "a b", "\u00e4", "k" * 256, "a\x7f"])
    def test_malformed_key_is_refused(self, tenant: Tenant, client: Api, key: str) -> None:
        response = client.post("/channels", {"slug": "web"}, headers={"Idempotency-Key": key})
        document = assert_problem(response, 422, "invalid_request")
        assert document["errors"][0]["pointer"] == "#header/Idempotency-Key"
        assert channels_of(tenant) == []


class TestRefusals:
    def test_refusal_is_rolled_back_and_repeated(self, tenant: Tenant, client: Api) -> None:
        first = client.post("/channels", {"slug": "web", "then": "refuse"}, headers=KEY)
        again = client.post("/channels", {"slug": "web", "then": "refuse"}, headers=KEY)
        assert_problem(first, 409, "conflict")
        assert (again.content, again.status_code) == (first.content, 409)
        assert again.headers["Content-Type"] == "application/problem+json"
        assert (channels_of(tenant), records(tenant)) == ([], [409])
        assert refusals_of(tenant) == [("conflict",)]

    def test_refusal_that_keeps_changes_commits_them_with_its_response(self, tenant: Tenant, client: Api) -> None:
        first = client.post("/channels", {"slug": "web", "then": "deny"}, headers=KEY)
        again = client.post("/channels", {"slug": "web", "then": "deny"}, headers=KEY)
        assert assert_problem(first, 403, "policy_denied")["reasons"] == [{"reason": "NOT_TODAY"}]
        assert again.content == first.content
        assert (channels_of(tenant), records(tenant)) == (["web"], [403])

    def test_server_error_is_never_stored(self, tenant: Tenant, client: Api) -> None:
        response = client.post("/channels", {"slug": "web", "then": "break"}, headers=KEY)
        document = assert_problem(response, 500, "internal_error")
        assert "secret" not in str(document)
        assert (channels_of(tenant), records(tenant), refusals_of(tenant)) == ([], [], [])
        assert client.post("/channels", {"slug": "web"}, headers=KEY).status_code == 201

    def test_invalid_request_is_stored_too(self, tenant: Tenant, client: Api) -> None:
        first = client.post("/channels", {"slug": "WEB"}, headers=KEY)
        assert client.post("/channels", {"slug": "WEB"}, headers=KEY).content == first.content
        assert records(tenant) == [422]

    def test_malformed_json_is_not_stored(self, tenant: Tenant, client: Api) -> None:
        assert_problem(client.post("/channels", b"{", headers=KEY), 400, "malformed_json")
        assert records(tenant) == []
        assert client.post("/channels", {"slug": "web"}, headers=KEY).status_code == 201


@pytest.mark.django_db(transaction=True)
class TestInFlight:
    @pytest.fixture
    def answers(self, client: Api, token: str) -> Any:
        """Start a first request in a thread of its own that waits inside its handler."""
        shelf.gate.__init__()
        answers: list[Any] = []

        def send() -> None:
            try:
                answers.append(Api(token).post("/channels", {"slug": "web", "then": "wait"}, headers=KEY))
            finally:
                connection.close()

        thread = threading.Thread(target=send)
        thread.start()
        assert shelf.gate.reached.wait(10)
        yield answers
        shelf.gate.opened.set()
        thread.join(10)

    def finish(self, answers: list[Any]) -> Any:
        shelf.gate.opened.set()
        for _ in range(1000):
            if answers:
                return answers[0]
            threading.Event().wait(0.01)
        pytest.fail("the first request did not end")

    def test_second_request_must_wait_and_then_gets_the_first_response(
        self, tenant: Tenant, client: Api, answers: list[Any]
    ) -> None:
        body = {"slug": "web", "then": "wait"}
        second = client.post("/channels", body, headers=KEY)
        assert_problem(second, 409, "idempotency_in_flight")
        assert second.headers["Retry-After"] == "1"
        first = self.finish(answers)
        third = client.post("/channels", body, headers=KEY)
        assert (first.status_code, third.content, third.headers["Idempotent-Replayed"]) == (201, first.content, "true")
        assert (channels_of(tenant), records(tenant)) == (["web"], [201])

    def test_request_with_another_key_does_not_wait(self, tenant: Tenant, client: Api, answers: list[Any]) -> None:
        assert client.post("/channels", {"slug": "mail"}, headers={"Idempotency-Key": "k-2"}).status_code == 201
        self.finish(answers)
        assert channels_of(tenant) == ["mail", "web"]

    def test_concurrent_refusal_does_not_take_the_key_of_a_running_request(
        self, tenant: Tenant, client: Api, answers: list[Any], requester: Any
    ) -> None:
        """Cover a refusal that is stored after its lock was released, when another request may hold the key."""
        from rest_framework.response import Response

        from tests.factories import acting
        from threada_site.api.idempotency import KeyReservation
        from threada_site.kernel.json.canonical import canonical_sha256

        body = {"slug": "web", "then": "wait"}
        refused = KeyReservation(acting(tenant, requester), "/channels", "k-1", canonical_sha256(body))
        with unit_of_work(tenant.id):
            assert refused.remember_refusal(Response({}, status=409)) is None
        assert records(tenant) == []
        first = self.finish(answers)
        with unit_of_work(tenant.id):
            kept = refused.remember_refusal(Response({}, status=409))
        assert (first.status_code, kept.status, records(tenant)) == (201, 201, [201])
