"""Addresses that a secret may be sent to: checked when a document is stored, and at every call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.configuration.parsed_documents import secret_access
from integrations.configuration.secrets import upsert_secret
from integrations.connectors import CallTerms, connector_named
from integrations.documents import read_integration
from integrations.models import Integration
from integrations.secrets.access import SecretAccess, require_confidential
from integrations.secrets.references import SecretReference, parse_reference
from integrations.transport import EgressPolicy
from tests.client import Api
from tests.factories import acting_system, make_principal, make_tenant, make_token
from threada_site.database.unit_of_work import unit_of_work
from threada_site.runtime.startup import NotSafeToRunError, refuse_unless_safe
from threada_site.tenancy.models import Tenant
from workitems.notices.chat import UnusableChatAddress, send_chat, service_of
from workitems.notices.rules import SendFailure

ELSEWHERE = [
    "http://a.example/v1/pay",
    "https://a.example:444/v1/pay",
    "https://a.example.evil/v1/pay",
    "https://evil/@a.example/v1/pay",
    "https://a.example@evil/v1/pay",
    "https://a.example/v2/pay",
    "https://a.example/v1/../admin",
    "https://a.example/v1/%2e%2e/admin",
]
STORED = SecretReference("stored", "token")
VARIABLE = SecretReference("env", "A_TOKEN")


@pytest.fixture
def acme(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    settings.THREADA_SECRETS_KEY = "k" * 48
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    settings.THREADA_SECRET_REFS = ["acme/env:A_TOKEN@https://a.example/v1", "env:UNBOUND"]
    monkeypatch.setenv("A_TOKEN", "canary-env")
    monkeypatch.setenv("UNBOUND", "canary-unbound")
    tenant = make_tenant("acme")
    with unit_of_work(tenant.id):
        upsert_secret("token", "canary-stored", origins=["https://a.example/v1"], ctx=acting_system(tenant))
    return tenant


@pytest.fixture
def api(acme: Tenant) -> Api:
    return Api(make_token(acme, make_principal(acme, "ivy", roles=("integration_manager",))))


def failure_of(access: Any, reference: SecretReference, address: str) -> str:
    with pytest.raises(TransportFailure) as refusal:
        access(reference, address)
    assert "canary" not in str(refusal.value)
    assert not refusal.value.ambiguous
    return refusal.value.failure.value


def spec(base_url: str, secret: Mapping[str, str]) -> dict[str, Any]:
    pay = {"method": "POST", "path": "/pay"}
    auth = {"scheme": "bearer", "secret": dict(secret)}
    return {"connector": "http", "base_url": base_url, "auth": auth, "actions": {"pay": pay}}


@pytest.mark.parametrize("address", ELSEWHERE)
@pytest.mark.parametrize("reference", [STORED, VARIABLE])
def test_a_call_elsewhere_gets_no_secret(acme: Tenant, reference: SecretReference, address: str) -> None:
    access = SecretAccess(acme.id, acme.slug)
    assert access(reference, "https://a.example/v1/pay?x=1").reveal().startswith("canary")
    assert failure_of(access, reference, address) == "secret_origin_refused"


@pytest.mark.parametrize("secret", [STORED.as_json(), VARIABLE.as_json()])
def test_a_document_for_another_address_is_not_stored(api: Api, secret: dict[str, str]) -> None:
    def put(base_url: str) -> Any:
        return api.post("/integrations", {"integration_id": "int_a", "spec": spec(base_url, secret)})

    for base_url in (
        "http://a.example/v1",
        "https://a.example:444/v1",
        "https://a.example.evil/v1",
        "https://a.example",
        "https://a.example/v11",
    ):
        refused = put(base_url)
        assert (refused.status_code, refused.json()["reason_code"]) == (422, "secret_origin_refused")
        assert [error["pointer"] for error in refused.json()["errors"]] == ["/spec"]
    assert put("https://a.example/v1").status_code == 201
    assert put("https://a.example/v1/sub").status_code == 200


def test_a_reference_without_origin_is_of_no_use(acme: Tenant, api: Api) -> None:
    unbound = SecretReference("env", "UNBOUND")
    assert failure_of(SecretAccess(acme.id, acme.slug), unbound, "https://a.example/") == "secret_origin_refused"
    body = {"integration_id": "int_a", "spec": spec("https://a.example", unbound.as_json())}
    assert api.post("/integrations", body).json()["reason_code"] == "secret_reference_not_allowed"


def test_the_list_of_another_tenant_opens_nothing(acme: Tenant) -> None:
    globex = make_tenant("globex")
    access = SecretAccess(globex.id, globex.slug)
    assert failure_of(access, VARIABLE, "https://a.example/v1") == "secret_origin_refused"
    assert failure_of(access, STORED, "https://a.example/v1") == "credential_unavailable"


def test_plain_http_is_refused_unless_allowed(acme: Tenant, settings: Any) -> None:
    settings.THREADA_SECRET_REFS = [f"env:A_TOKEN@http://{host}" for host in ("127.0.0.1:9", "in.example", "localhost")]
    access = SecretAccess(acme.id, acme.slug)
    assert access(VARIABLE, "http://127.0.0.1:9/x").reveal() == "canary-env"
    for address in ("http://in.example/x", "http://localhost/x"):
        assert failure_of(access, VARIABLE, address) == "secret_origin_refused"
    settings.THREADA_PLAIN_SECRET_ORIGINS = ["http://in.example"]
    assert access(VARIABLE, "http://in.example/x").reveal() == "canary-env"
    settings.THREADA_EGRESS_ALLOW = []
    assert failure_of(access, VARIABLE, "http://127.0.0.1:9/x") == "secret_origin_refused"


def test_a_secret_is_not_stored_for_plain_http(api: Api, settings: Any) -> None:
    def put(origin: str) -> Any:
        return api.post("/secrets", {"secret_id": "s", "value": "v", "origins": [origin]})

    refused = put("http://in.example")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/origins/0")
    assert "THREADA_PLAIN_SECRET_ORIGINS" in refused.json()["errors"][0]["detail"]
    settings.THREADA_PLAIN_SECRET_ORIGINS = ["http://in.example"]
    assert put("http://in.example").status_code == 201
    assert put("http://127.0.0.1:8080").status_code == 200


def test_documents_of_the_operator_name_any_variable_for_their_own_address(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    from integrations.configuration.configure import upsert_integration
    from threada_site.kernel.context import EntryPoint

    monkeypatch.setenv("UNLISTED", "canary-unlisted")
    with unit_of_work(acme.id):
        operator = acting_system(acme, EntryPoint.COMMAND)
        upsert_integration("int_a", spec("https://b.example/api", {"env": "UNLISTED"}), ctx=operator)
        version = Integration.objects.select_related("current_version").get(slug="int_a").current_version
    assert version is not None
    access = secret_access(version, tenant=acme.slug)
    unlisted = SecretReference("env", "UNLISTED")
    assert access(unlisted, "https://b.example/api/x").reveal() == "canary-unlisted"
    for address in ("https://b.example/x", "https://c.example/api", "https://b.example/api/../x"):
        assert failure_of(access, unlisted, address) == "secret_origin_refused"
    version.created_by = acme.id  # a version that somebody else made
    assert failure_of(secret_access(version, tenant=acme.slug), unlisted, "https://b.example/api") == (
        "secret_origin_refused"
    )


def test_an_entry_that_the_operator_removes_stops_calls(acme: Tenant, settings: Any, api: Api) -> None:
    body = {"integration_id": "int_a", "spec": spec("https://a.example/v1", VARIABLE.as_json())}
    assert api.post("/integrations", body).status_code == 201
    with unit_of_work(acme.id):
        version = Integration.objects.select_related("current_version").get(slug="int_a").current_version
    assert version is not None
    access = secret_access(version, tenant=acme.slug)
    assert access(VARIABLE, "https://a.example/v1/pay").reveal() == "canary-env"
    settings.THREADA_SECRET_REFS = []
    assert failure_of(access, VARIABLE, "https://a.example/v1/pay") == "secret_origin_refused"


def test_deliveries_are_bound_too(acme: Tenant, settings: Any) -> None:
    admin = Api(make_token(acme, make_principal(acme, "ada", roles=("tenant_admin",))))
    settings.THREADA_EGRESS_ALLOW = []

    def put(url: str, secret: dict[str, str]) -> Any:
        body = {"delivery_id": "siem", "target": "webhook", "url": url, "secret": secret}
        return admin.post("/telemetry/deliveries", body)

    for secret, status in ((STORED.as_json(), 201), (VARIABLE.as_json(), 200)):
        refused = put("https://a.example/v2", secret)
        assert (refused.status_code, refused.json()["reason_code"]) == (422, "secret_origin_refused")
        assert put("http://a.example/v1", secret).json()["reason_code"] == "secret_origin_refused"
        assert put("https://a.example/v1/hook", secret).status_code == status


REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "http": (
        {"connector": "http", "base_url": "https://a.example/v1", "auth": {"scheme": "bearer", "secret": {"env": "X"}},
         "actions": {"act": {"method": "POST", "path": "/pay"}}},
        "https://a.example/v1/pay",
    ),
    "webhook": (
        {"connector": "webhook", "base_url": "https://a.example/v1", "secrets": [{"env": "X"}],
         "actions": {"act": {"path": "/hook", "type": "t", "data": {}}}},
        "https://a.example/v1/hook",
    ),
    "chat": (
        {"connector": "chat", "service": "mattermost", "base_url": "https://a.example", "address": {"env": "X"},
         "actions": {"act": {"text": "x"}}},
        "https://a.example",
    ),
    "mail": (
        {"connector": "mail", "server": "smtp+starttls://a.example", "from": "a@a.example",
         "auth": {"username": "u", "secret": {"env": "X"}},
         "actions": {"act": {"to": "b@a.example", "subject": "x", "text": "x"}}},
        "smtp+starttls://a.example:587",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_every_connector_names_where_it_sends_the_secret(name: str) -> None:
    written, address = REQUESTS[name]
    asked: list[tuple[str, str]] = []

    def refuse(reference: SecretReference, sent_to: str) -> Any:
        asked.append((str(reference), sent_to))
        raise TransportFailure(FailureClass.SECRET_ORIGIN_REFUSED, "Not there.")

    document = read_integration(written)
    facts = {
        "item": {"id": "wi_1", "payload": {}},
        "ctx": {"action": "act", "now": "2026-01-31T09:00:00Z"},
        "input": {},
    }
    connector: Any = connector_named(name)
    request = connector.build_request(document, document.action("act"), facts)
    terms = CallTerms(idempotency_key="ex_1", timeout_s=1, egress=EgressPolicy(), user_agent="x", secrets=refuse)
    outcome = connector.call(request, terms)
    assert asked == [("env:X", address)]
    assert (outcome.failure, outcome.ambiguous) == (FailureClass.SECRET_ORIGIN_REFUSED, False)


def test_a_call_without_access_has_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "canary")
    terms = CallTerms(idempotency_key="ex_1", timeout_s=1, egress=EgressPolicy(), user_agent="x")
    assert failure_of(
        lambda reference, url: terms.secret(reference, sent_to=url), parse_reference({"env": "X"}), ""
    ) == ("credential_unavailable")


def test_chat_addresses_of_people_are_not_sent_over_plain_http(settings: Any) -> None:
    settings.THREADA_EGRESS_ALLOW = ["10.0.0.0/8", "127.0.0.0/8"]
    assert service_of("mmost://127.0.0.1:9/abcdefghijkl") == "mattermost"
    for address in ("mmost://chat.example/abcdefghijkl", "json://10.0.0.1/token"):
        with pytest.raises(UnusableChatAddress, match="over plain http"):
            service_of(address)
    with pytest.raises(SendFailure) as refusal:
        send_chat(
            "x", title="x", service="mattermost", address="mmost://chat.example/abcdefghijkl", before=lambda: None
        )
    assert (refusal.value.failure, refusal.value.is_final) == ("secret_origin_refused", True)
    with pytest.raises(TransportFailure):
        require_confidential("http://chat.example/hook")


def test_an_operator_who_writes_no_origin_is_told(
    acme: Tenant, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    refuse_unless_safe()
    assert "THREADA_SECRET_REFS: env:UNBOUND names no origin" in caplog.text
    settings.THREADA_PLAIN_SECRET_ORIGINS = ["in.example"]
    with pytest.raises(NotSafeToRunError, match="THREADA_PLAIN_SECRET_ORIGINS"):
        refuse_unless_safe()


def test_a_secret_of_callbacks_needs_no_origin_and_is_sent_nowhere(
    acme: Tenant, api: Api, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.THREADA_PUBLIC_URL = "https://threada.example"
    settings.THREADA_SECRET_REFS = [*settings.THREADA_SECRET_REFS, "acme/env:HOOK@callbacks"]
    monkeypatch.setenv("HOOK", "canary-hook")
    assert api.post("/secrets", {"secret_id": "hook", "value": "canary-stored"}).json()["origins"] == []
    stored, listed, unlisted = ({"stored": "hook"}, {"env": "HOOK"}, {"env": "UNBOUND"})

    def put(*, auth: Mapping[str, str] = {"env": "A_TOKEN"}, callbacks: Mapping[str, str] = stored) -> str:
        pay = {"method": "POST", "path": "/pay", "completes": "callback"}
        document = {**spec("https://a.example/v1", auth), "callback_secrets": [callbacks], "actions": {"pay": pay}}
        answer = api.post("/integrations", {"integration_id": "bank", "spec": document})
        return "" if answer.status_code == 201 else str(answer.json()["reason_code"])

    assert put(callbacks=unlisted) == "secret_reference_not_allowed"
    assert put(callbacks={"stored": "absent"}) == "document_invalid"
    assert put(auth=stored) == "secret_origin_refused"
    assert put(auth=listed) == "secret_reference_not_allowed"
    assert put(callbacks=listed) == ""
    access = SecretAccess(acme.id, "acme")
    assert access.verifying(parse_reference(stored)).reveal() == "canary-stored"
    assert access.verifying(parse_reference(listed)).reveal() == "canary-hook"
    assert failure_of(access, parse_reference(stored), "https://a.example/v1/pay") == "secret_origin_refused"
    assert failure_of(access, parse_reference(listed), "https://a.example/v1/pay") == "secret_origin_refused"
    with pytest.raises(TransportFailure):
        access.verifying(parse_reference(unlisted))
