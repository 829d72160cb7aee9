"""Access tokens of OAuth 2.0: requested once, stored encrypted, sent to the receiver only."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from unittest.mock import ANY
from urllib.parse import parse_qs

import pytest
from django.db import connections

from integrations.attempts.failures import FailureClass
from integrations.attempts.outcomes import Outcome
from integrations.configuration.configure import upsert_integration
from integrations.configuration.parsed_documents import document_of, secret_access
from integrations.connectors import CallTerms, HttpConnector
from integrations.models import AccessToken, IntegrationVersion
from integrations.probes.probe import probe_integration
from integrations.secrets.access_tokens import AccessTokens
from integrations.sweeps import delete_old_tokens
from integrations.tools.fetch import UnreadableTools, fetch_tools
from integrations.transport import EgressPolicy
from tests.client import Api
from tests.factories import acting_system, make_principal, make_tenant, make_token
from tests.receivers.fixtures import Receiver
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.context import EntryPoint
from threada_site.tenancy.models import Tenant

CLIENT_SECRET, TOKEN = "canary-client/secret+1", "canary-token-1"
ISSUED = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}


@dataclass
class World:
    tenant: Tenant
    api: Api
    receiver: Receiver

    def spec(self, **changes: Any) -> dict[str, Any]:
        auth = {
            "scheme": "oauth2",
            "token_url": f"{self.receiver.url}/token",
            "client_id": "threada",
            "client_secret": {"stored": "bank_client"},
            **changes,
        }
        action = {"method": "POST", "path": "/pay", "body": {"amount": 5}}
        return {"connector": "http", "base_url": f"{self.receiver.url}/api", "auth": auth, "actions": {"pay": action}}

    def store(self, value: str = CLIENT_SECRET, origins: Sequence[str] = ("/token", "/api")) -> None:
        body = {"secret_id": "bank_client", "value": value, "origins": [self.receiver.url + path for path in origins]}
        assert self.api.post("/secrets", body).status_code in (200, 201)

    def put(self, **changes: Any) -> Any:
        return self.api.post("/integrations", {"integration_id": "bank", "spec": self.spec(**changes)})

    def issues(self, **token: Any) -> None:
        """Let the token endpoint behave as told, and the receiver answer."""
        self.receiver.behave({"/token": {"body": ISSUED, **token}})

    def version(self) -> IntegrationVersion:
        with unit_of_work(self.tenant.id):
            return IntegrationVersion.objects.latest("id")

    def call(self, timeout_s: float = 3.0) -> Outcome:
        version = self.version()
        access, document = secret_access(version, tenant=self.tenant.slug), document_of(version)
        request = json.loads(json.dumps(HttpConnector().build_request(document, document.action("pay"), {})))
        terms = CallTerms(
            idempotency_key="ex_1",
            timeout_s=timeout_s,
            egress=EgressPolicy(["127.0.0.1"]),
            user_agent="Threada/test",
            secrets=access,
            tokens=AccessTokens(access),
        )
        outcome = HttpConnector().call(request, terms)
        shown = repr(outcome) + outcome.detail + json.dumps([outcome.response, request]) + repr(terms)
        assert "canary" not in shown
        return outcome

    def row(self) -> AccessToken:
        with unit_of_work(self.tenant.id):
            return AccessToken.objects.get()

    def change(self, **columns: Any) -> None:
        with unit_of_work(self.tenant.id):
            AccessToken.objects.update(**columns)

    def sent(self) -> list[str]:
        """Return the tokens that reached the receiver."""
        return [entry["headers"]["authorization"] for entry in self.receiver.requests("/api/pay")]

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests to the token endpoint."""
        return self.receiver.requests("/token")


def world_of(receiver: Receiver, settings: Any) -> World:
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    settings.THREADA_SECRETS_KEY = "k" * 48
    tenant = make_tenant("acme")
    api = Api(make_token(tenant, make_principal(tenant, "ivy", roles=("integration_manager",))))
    world = World(tenant, api, receiver)
    world.issues()
    return world


@pytest.fixture
def world(db: None, receiver: Receiver, settings: Any) -> World:
    found = world_of(receiver, settings)
    found.store()
    assert found.put().status_code == 201
    return found


def test_one_token_serves_many_calls_and_is_stored_encrypted(world: World) -> None:
    assert [world.call().succeeded for _ in range(3)] == [True] * 3
    (asked,) = world.requests()
    scheme, pair = asked["headers"]["authorization"].split(" ")
    assert (scheme, base64.b64decode(pair)) == ("Basic", b"threada:canary-client%2Fsecret%2B1")
    assert parse_qs(asked["body"]) == {"grant_type": ["client_credentials"]}
    assert world.sent() == [f"Bearer {TOKEN}"] * 3
    row = world.row()
    assert TOKEN.encode() not in bytes(row.token)
    assert row.expires_at is not None
    assert row.refresh_at is not None
    assert row.expires_at - row.refresh_at == timedelta(seconds=720)
    assert "canary" not in world.api.get("/integrations/bank").content.decode()


def test_client_scopes_and_audience_can_be_in_the_form(world: World) -> None:
    world.put(client_auth="post", scopes=["payments", "refunds"], audience="bank", resource="https://bank.example/")
    assert world.call().succeeded
    (asked,) = world.requests()
    assert "authorization" not in asked["headers"]
    assert parse_qs(asked["body"]) == {
        "grant_type": ["client_credentials"], "scope": ["payments refunds"], "audience": ["bank"],
        "resource": ["https://bank.example/"], "client_id": ["threada"], "client_secret": [CLIENT_SECRET],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        ({"status": 401, "body": {"error": "invalid_client", "error_description": CLIENT_SECRET}}, "credential_unavailable"),
        ({"status": 400, "body": {"error": CLIENT_SECRET}}, "credential_unavailable"),
        ({"status": 500, "body": CLIENT_SECRET}, "connection_refused"),
        ({"status": 429}, "connection_refused"),
        ({"status": 302, "headers": {"Location": "/api/pay"}}, "connection_refused"),
        ({"status": 307, "headers": {"Location": "/api/pay"}}, "connection_refused"),
        ({"status": 204, "body": ""}, "connection_refused"),
        ({"body": f"<p>{TOKEN}</p>", "content_type": "text/html"}, "connection_refused"),
        ({"body": [ISSUED]}, "connection_refused"),
        ({"body": {**ISSUED, "access_token": ""}}, "connection_refused"),
        ({"body": {**ISSUED, "access_token": f"{TOKEN}\r\nX-Evil: 1"}}, "connection_refused"),
        ({"body": {**ISSUED, "access_token": [TOKEN]}}, "connection_refused"),
        ({"body": {**ISSUED, "token_type": "mac"}}, "connection_refused"),
        ({"body": {**ISSUED, "expires_in": 0}}, "connection_refused"),
        ({"body": {**ISSUED, "expires_in": True}}, "connection_refused"),
        ({"fault": "huge"}, "connection_refused"),
        ({"fault": "reset"}, "connection_refused"),
        ({"fault": "not_http"}, "connection_refused"),
        ({"fault": "drip"}, "timeout"),
        ({"delay_s": 2}, "timeout"),
    ],
)  # fmt: skip
def test_without_a_token_nothing_is_sent(world: World, behaviour: dict[str, Any], failure: str) -> None:
    world.issues(**behaviour)
    outcome = world.call(timeout_s=0.7)
    assert (outcome.failure, outcome.ambiguous) == (failure, False)
    assert world.sent() == []
    problem = world.row().problem
    assert problem.startswith(f"{failure}: The token endpoint at {world.receiver.url} ")
    assert "canary" not in problem
    world.issues()
    assert world.call().succeeded
    assert world.row().problem == ""


def test_a_token_is_requested_again_after_most_of_its_life(world: World) -> None:
    world.call()
    world.issues(body={**ISSUED, "access_token": "canary-token-2"})
    world.change(refresh_at=clock.now())
    assert world.call().succeeded
    assert world.sent() == [f"Bearer {TOKEN}", "Bearer canary-token-2"]
    world.issues(status=500)
    world.change(refresh_at=clock.now())
    assert world.call().succeeded  # with the old token
    assert world.call().succeeded  # which asks again later
    assert len(world.requests()) == 3
    assert "answered 500" in world.row().problem
    world.change(expires_at=clock.now() + timedelta(seconds=4))
    assert world.call().failure is FailureClass.CONNECTION_REFUSED
    assert world.sent()[2:] == ["Bearer canary-token-2"] * 2


def test_a_token_that_the_receiver_refuses_is_not_sent_again(world: World) -> None:
    world.receiver.behave({"/token": {"body": ISSUED}, "/api": {"status": 401, "body": {"token": TOKEN}}})
    outcome = world.call()
    assert (outcome.failure, outcome.ambiguous) == (FailureClass.REJECTED_BY_RECEIVER, False)
    assert len(world.sent()) == 1  # the call is not repeated
    world.issues(body={**ISSUED, "access_token": "canary-token-2"})
    assert world.call().succeeded
    assert world.sent() == [f"Bearer {TOKEN}", "Bearer canary-token-2"]


def test_a_changed_or_removed_secret_ends_its_token(world: World) -> None:
    world.call()
    world.store("canary-other")
    assert world.call().succeeded
    assert len(world.requests()) == 2
    world.store("canary-other", ["/elsewhere"])
    outcome = world.call()
    assert (outcome.failure, outcome.ambiguous) == (FailureClass.SECRET_ORIGIN_REFUSED, False)
    assert (len(world.requests()), len(world.sent())) == (2, 2)


def test_a_token_of_another_row_is_not_sent(world: World) -> None:
    world.call()
    first = world.row()
    world.put(scopes=["payments"])
    world.call()
    with unit_of_work(world.tenant.id):
        other = AccessToken.objects.exclude(id=first.id)
        assert other.update(token=bytes(first.token)) == 1
    assert world.call().succeeded
    assert len(world.requests()) == 3


def test_another_worker_is_waited_for_and_a_lost_one_is_not(world: World) -> None:
    world.call()
    world.change(expires_at=clock.now(), claimed_until=clock.now() + timedelta(seconds=20))
    outcome = world.call(timeout_s=0.3)
    assert (outcome.failure, outcome.ambiguous) == (FailureClass.TIMEOUT, False)
    assert len(world.requests()) == 1
    world.change(claimed_until=clock.now())
    assert world.call().succeeded
    assert len(world.requests()) == 2


@pytest.mark.django_db(transaction=True)
def test_workers_that_need_a_token_at_once_make_one_request(receiver: Receiver, settings: Any) -> None:
    world = world_of(receiver, settings)
    world.store()
    world.put()
    world.issues(delay_s=0.5)
    outcomes: list[Outcome] = []

    def work() -> None:
        try:
            outcomes.append(world.call(timeout_s=10))
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [outcome.succeeded for outcome in outcomes] == [True] * 6
    assert (len(world.requests()), len(world.sent())) == (1, 6)


def test_a_token_is_sent_only_where_the_secret_of_its_client_may_be_sent(world: World) -> None:
    """A steward who does not know the secret gets no token by an integration with an address of his own."""
    spec = {**world.spec(), "base_url": f"{world.receiver.url}/mine"}
    refused = world.api.post("/integrations", {"integration_id": "mine", "spec": spec})
    assert refused.json()["reason_code"] == "secret_origin_refused"
    tools = {**spec, "connector": "mcp", "actions": {"call_tool": {}}}
    assert world.api.post("/integrations", {"integration_id": "mine", "spec": tools}).json() == {
        **refused.json(),
        "correlation_id": ANY,
    }
    assert world.call().succeeded
    world.store("canary-other", ["/token"])
    before = len(world.requests()), len(world.sent())
    outcome = world.call()
    assert (outcome.failure, outcome.ambiguous) == (FailureClass.SECRET_ORIGIN_REFUSED, False)
    assert (len(world.requests()), len(world.sent())) == before


def test_the_token_endpoint_is_an_origin_of_its_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = world.put(token_url=f"{world.receiver.url}/other/token").json()
    assert refused["reason_code"] == "secret_origin_refused"
    blocked = world.put(token_url="https://10.0.0.1/token").json()
    assert [error["pointer"] for error in blocked["errors"]] == ["/spec/auth/token_url"]
    assert world.put(token_url="https://user@bank.example/token").json()["reason_code"] == "document_invalid"
    monkeypatch.setenv("BANK_CLIENT", CLIENT_SECRET)
    with unit_of_work(world.tenant.id):
        spec = world.spec(client_secret={"env": "BANK_CLIENT"})
        upsert_integration("bank", spec, ctx=acting_system(world.tenant, EntryPoint.COMMAND))
    assert world.call().succeeded
    access = secret_access(world.version(), tenant=world.tenant.slug)
    checks = probe_integration(document_of(world.version()), access)["checks"]
    assert [(check["check"], check["ok"]) for check in checks] == [
        ("secret env:BANK_CLIENT", True), ("access token", True), ("connection", True),
    ]  # fmt: skip
    assert (len(world.requests()), len(world.sent())) == (1, 1)


def test_tools_of_an_mcp_server_are_read_with_a_token(world: World) -> None:
    spec = {**world.spec(), "connector": "mcp", "actions": {"call_tool": {}}}
    answer = world.api.post("/integrations", {"integration_id": "tools", "spec": spec})
    assert answer.status_code == 201
    tools = {"tools": [{"name": "look_up", "inputSchema": {"type": "object"}}]}
    listed = {"body": {"jsonrpc": "2.0", "id": 1, "result": tools}}
    world.receiver.behave({"/token": {"body": ISSUED}, "/api": listed})
    document, access = document_of(world.version()), secret_access(world.version(), tenant=world.tenant.slug)
    assert list(fetch_tools(document, access)[0]) == ["look_up"]
    world.receiver.behave({"/token": {"body": ISSUED}, "/api": {"status": 401, "body": {"you": TOKEN}}})
    with pytest.raises(UnreadableTools) as refusal:
        fetch_tools(document, access)
    assert "canary" not in str(refusal.value)
    world.receiver.behave({"/token": {"body": {**ISSUED, "access_token": "canary-token-2"}}, "/api": listed})
    assert list(fetch_tools(document, access)[0]) == ["look_up"]
    sent = [entry["headers"]["authorization"] for entry in world.receiver.requests("/api")]
    assert sent == [f"Bearer {TOKEN}"] * 2 + ["Bearer canary-token-2"]


def test_old_tokens_are_deleted(world: World) -> None:
    world.call()
    assert delete_old_tokens(now=clock.now() + timedelta(hours=24)) == 0
    assert delete_old_tokens(now=clock.now() + timedelta(hours=26)) == 1
