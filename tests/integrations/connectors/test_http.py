"""The `http` connector with a real receiver: request in the envelope, sent request, outcome of the response."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.attempts.failures import FailureClass
from integrations.attempts.outcomes import Outcome
from integrations.connectors import CallTerms, HttpConnector, OutboundConnector, connector_named, register
from integrations.connectors.url_forms import decode_form
from integrations.documents import read_integration
from integrations.transport import EgressPolicy
from tests.integrations.recorders import RecordingNetwork
from tests.integrations.secrets_in import secrets_in
from tests.receivers.fixtures import Receiver
from threada_site.kernel.errors import ExpressionFailed
from threada_site.kernel.json.canonical import canonical_bytes

LOOPBACK = EgressPolicy(["127.0.0.0/8"])
NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
CANARY = 'tok"en/canary='
FACTS: dict[str, Any] = {
    "item": {"id": "wi_1", "payload": {"vendor": "Müller/Söhne", "amount_minor": 1250, "account": "DE 1/2"}},
    "ctx": {"action": "pay"},
    "input": {"note": "a&b=c"},
}
PAY = {
    "method": "POST",
    "path": "/accounts/${item.payload.account}/payments",
    "query": {"note": "${input.note}", "dry_run": False},
    "headers": {"X-Reason": "for ${ctx.action}"},
    "body": {"vendor": "${item.payload.vendor}", "amount_minor": "${item.payload.amount_minor}"},
}
BEARER = {"scheme": "bearer", "secret": {"env": "BANK_TOKEN"}}


def built(base_url: str, action: dict[str, Any] | None = None, facts: dict[str, Any] | None = None, **spec: Any) -> Any:
    document = read_integration(
        {"connector": "http", "base_url": base_url, "actions": {"pay": action or PAY}, "auth": BEARER, **spec}
    )
    return HttpConnector().build_request(document, document.action("pay"), facts or FACTS)


def terms(**changes: Any) -> CallTerms:
    usual: dict[str, Any] = {
        "idempotency_key": "ex_1",
        "timeout_s": 3.0,
        "egress": LOOPBACK,
        "user_agent": "Threada/0.2.0",
        "secrets": secrets_in({"BANK_TOKEN": CANARY}),
        "now": NOW,
    }
    return CallTerms(**{**usual, **changes})


def call(receiver: Receiver, **behaviour: Any) -> Outcome:
    receiver.behave(**behaviour)
    return HttpConnector().call(built(receiver.url), terms())


def test_envelope_request_is_exact_and_contains_no_secret() -> None:
    request = built("https://bank.example/api/")
    assert request == {
        "method": "POST",
        "url": "https://bank.example/api/accounts/DE%201%2F2/payments?dry_run=false&note=a%26b%3Dc",
        "headers": {"X-Reason": "for pay"},
        "auth": {"scheme": "bearer", "secret": {"env": "BANK_TOKEN"}},
        "body": {"vendor": "Müller/Söhne", "amount_minor": 1250},
    }
    assert canonical_bytes(request) == canonical_bytes(built("https://bank.example/api/"))


def test_envelope_request_is_sent(receiver: Receiver) -> None:
    request = json.loads(canonical_bytes(built(receiver.url)))
    outcome = HttpConnector().call(request, terms(traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01"))
    assert outcome.succeeded
    (entry,) = receiver.requests()
    assert (entry["method"], entry["path"]) == ("POST", "/accounts/DE%201%2F2/payments?dry_run=false&note=a%26b%3Dc")
    assert entry["body"] == '{"amount_minor":1250,"vendor":"Müller/Söhne"}'
    assert entry["headers"] == {
        "host": f"127.0.0.1:{receiver.port}",
        "x-reason": "for pay",
        "accept": "application/json",
        "content-type": "application/json",
        "user-agent": "Threada/0.2.0",
        "idempotency-key": "ex_1",
        "traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01",
        "authorization": f"Bearer {CANARY}",
        "content-length": str(len('{"amount_minor":1250,"vendor":"Müller/Söhne"}'.encode())),
    }


def test_basic_authentication(receiver: Receiver) -> None:
    request = built(receiver.url, auth={"scheme": "basic", "username": "üser", "secret": {"env": "BANK_TOKEN"}})
    assert HttpConnector().call(request, terms()).succeeded
    scheme, token = receiver.requests()[0]["headers"]["authorization"].split(" ")
    assert (scheme, base64.b64decode(token).decode()) == ("Basic", f"üser:{CANARY}")


@pytest.mark.parametrize("name", ["X-Api-Key", "PRIVATE-TOKEN", "Authorization"])
def test_key_in_a_header(receiver: Receiver, name: str) -> None:
    request = built(receiver.url, auth={"scheme": "header", "name": name, "secret": {"env": "BANK_TOKEN"}})
    assert request["auth"] == {"scheme": "header", "name": name, "secret": {"env": "BANK_TOKEN"}}
    assert HttpConnector().call(request, terms(secrets=secrets_in({"BANK_TOKEN": f"Token id=7 {CANARY}"}))).succeeded
    (entry,) = receiver.requests()
    assert entry["headers"][name.lower()] == f"Token id=7 {CANARY}"
    assert name == "Authorization" or "authorization" not in entry["headers"]


@pytest.mark.parametrize("value", [" padded", "tab\t", "key→", "Bearer canary", "basic canary"])
def test_key_that_no_header_holds_sends_nothing(receiver: Receiver, value: str) -> None:
    request = built(receiver.url, auth={"scheme": "header", "name": "Authorization", "secret": {"env": "BANK_TOKEN"}})
    outcome = HttpConnector().call(request, terms(secrets=secrets_in({"BANK_TOKEN": value})))
    assert (outcome.failure, outcome.ambiguous) == (FailureClass.CREDENTIAL_UNAVAILABLE, False)
    assert "env:BANK_TOKEN" in outcome.detail
    assert value not in outcome.detail
    assert "canary" not in outcome.detail
    assert receiver.requests() == []


def test_action_may_set_its_own_media_types_and_send_no_body(receiver: Receiver) -> None:
    headers = {"content-type": "application/vnd.api+json", "Accept": "text/plain"}
    HttpConnector().call(built(receiver.url, {**PAY, "headers": headers}), terms())
    HttpConnector().call(built(receiver.url, {"method": "DELETE", "path": "/x"}), terms())
    HttpConnector().call(built(receiver.url, {"method": "POST", "path": "/x", "body": None}), terms())
    first, second, third = receiver.requests()
    assert (first["headers"]["content-type"], first["headers"]["accept"]) == ("application/vnd.api+json", "text/plain")
    assert "content-type" not in second["headers"]
    assert third["body"] == "null"


FORM = {
    "method": "POST",
    "path": "/chat.postMessage",
    "form": {
        "text": "${item.payload.vendor}",
        "amount": "${item.payload.amount_minor}",
        "to[]": ["${input.note}", "*~-._", True],
        "empty": "",
        "nobody": "${[]}",
        "Zone": 1.5,
    },
}
SENT_FORM = (
    "Zone=1.5&amount=1250&empty=&text=M%C3%BCller%2FS%C3%B6hne&to%5B%5D=a%26b%3Dc&to%5B%5D=%2A~-._&to%5B%5D=true"
)


def test_a_form_is_sent_as_the_envelope_contains_it(receiver: Receiver) -> None:
    request = built(receiver.url, FORM)
    assert request["form"] == SENT_FORM
    assert HttpConnector().call(json.loads(canonical_bytes(request)), terms()).succeeded
    (entry,) = receiver.requests()
    assert entry["body"] == SENT_FORM
    assert entry["headers"]["content-type"] == "application/x-www-form-urlencoded"
    assert entry["headers"]["content-length"] == str(len(SENT_FORM))


def test_people_read_the_fields_of_a_form_that_its_bytes_contain() -> None:
    assert decode_form(SENT_FORM) == {
        "Zone": "1.5",
        "amount": "1250",
        "empty": "",
        "text": "Müller/Söhne",
        "to[]": ["a&b=c", "*~-._", "true"],
    }
    for other in ("a=%41", "b=1&a=2", "a", "a=b;c=d&", "a=%ff", "a=%zz", "a=b&&c=d"):
        assert decode_form(other) == other


@pytest.mark.parametrize(
    ("action", "facts"),
    [
        ({**FORM, "form": {"a": "${null}"}}, FACTS),
        ({**FORM, "form": {"a": "${{'b': 1}}"}}, FACTS),
        ({**FORM, "form": {"a": "${[1, null]}"}}, FACTS),
        ({**FORM, "form": {"a": "${input.absent}"}}, FACTS),
        (PAY, {**FACTS, "input": {}}),
        (PAY, {**FACTS, "input": {"note": None}}),
        (PAY, {**FACTS, "input": {"note": ["a"]}}),
        (PAY, {**FACTS, "item": {"payload": {**FACTS["item"]["payload"], "account": ".."}}}),
        (PAY, {**FACTS, "item": {"payload": {**FACTS["item"]["payload"], "account": "x" * 9000}}}),
        ({**PAY, "path": "/${input.note}"}, {**FACTS, "input": {"note": ""}}),
        (PAY, {**FACTS, "ctx": {"action": "pay\r\nX-Evil: 1"}}),
    ],
)
def test_unusable_facts_fail_before_the_envelope_is_built(action: dict[str, Any], facts: dict[str, Any]) -> None:
    with pytest.raises(ExpressionFailed):
        built("https://bank.example", action, facts)


@pytest.mark.parametrize("value", ["@evil.example/", "//evil.example", ":80@evil.example", "\\evil.example", "?#@evil"])
def test_no_value_leaves_the_host(value: str) -> None:
    facts = {**FACTS, "item": {"payload": {**FACTS["item"]["payload"], "account": value}}}
    assert built("https://bank.example", facts=facts)["url"].startswith("https://bank.example/accounts/")
    assert EgressPolicy().check_url(built("https://bank.example", facts=facts)["url"]).host == "bank.example"


@pytest.mark.parametrize(
    ("status", "headers", "failure", "ambiguous", "retry_after_s"),
    [
        (200, {}, None, False, None),
        (201, {}, None, False, None),
        (202, {}, None, False, None),
        (301, {}, "bad_response", True, None),
        (303, {}, "bad_response", True, None),
        (307, {}, "rejected_by_receiver", False, None),
        (308, {}, "rejected_by_receiver", False, None),
        (400, {}, "rejected_by_receiver", False, None),
        (401, {}, "rejected_by_receiver", False, None),
        (404, {}, "rejected_by_receiver", False, None),
        (408, {}, "timeout", True, None),
        (409, {}, "rejected_by_receiver", False, None),
        (422, {}, "rejected_by_receiver", False, None),
        (425, {}, "receiver_rate_limited", False, None),
        (429, {}, "receiver_rate_limited", False, None),
        (429, {"Retry-After": "17"}, "receiver_rate_limited", False, 17.0),
        (429, {"Retry-After": "Sat, 31 Jan 2026 09:01:30 GMT"}, "receiver_rate_limited", False, 90.0),
        (429, {"Retry-After": "Sat, 31 Jan 2026 08:00:00 GMT"}, "receiver_rate_limited", False, 0.0),
        (429, {"Retry-After": "soon"}, "receiver_rate_limited", False, None),
        (429, {"Retry-After": "9" * 400}, "receiver_rate_limited", False, 999999999.0),
        (500, {}, "bad_response", True, None),
        (502, {}, "bad_response", True, None),
        (503, {}, "bad_response", True, None),
        (503, {"Retry-After": "5"}, "receiver_rate_limited", False, 5.0),
        (504, {}, "bad_response", True, None),
        (599, {}, "bad_response", True, None),
    ],
)
def test_status_decides(
    receiver: Receiver,
    status: int,
    headers: dict[str, str],
    failure: str | None,
    ambiguous: bool,
    retry_after_s: float | None,
) -> None:
    outcome = call(receiver, status=status, headers=headers, body={"said": status})
    assert (outcome.failure, outcome.ambiguous, outcome.retry_after_s) == (failure, ambiguous, retry_after_s)
    assert outcome.succeeded is (failure is None)
    assert outcome.response is not None
    assert (outcome.response["status"], outcome.response["body"]) == (status, {"said": status})
    assert len(receiver.requests()) == 1


@pytest.mark.parametrize(
    ("behaviour", "failure", "ambiguous"),
    [
        ({"fault": "truncated"}, "bad_response", True),
        ({"body": "<html>", "content_type": "application/json"}, "bad_response", True),
        ({"fault": "reset"}, "bad_response", True),
        ({"fault": "close"}, "bad_response", True),
        ({"fault": "huge"}, "bad_response", True),
        ({"fault": "huge", "status": 404}, "rejected_by_receiver", False),
        ({"fault": "huge", "status": 429}, "receiver_rate_limited", False),
        ({"fault": "huge", "status": 500}, "bad_response", True),
        ({"fault": "short", "status": 422}, "rejected_by_receiver", False),
        ({"fault": "drip"}, "timeout", True),
        ({"fault": "drip", "status": 400}, "rejected_by_receiver", False),
        ({"delay_s": 1.5}, "timeout", True),
    ],
)
def test_unusable_answer(receiver: Receiver, behaviour: dict[str, Any], failure: str, ambiguous: bool) -> None:
    receiver.behave(**behaviour)
    outcome = HttpConnector().call(built(receiver.url), terms(timeout_s=0.7))
    assert (outcome.failure, outcome.ambiguous) == (failure, ambiguous)
    assert outcome.detail


@pytest.mark.parametrize(
    ("body", "content_type", "recorded", "truncated"),
    [
        ({"id": "p-1"}, "application/json", {"id": "p-1"}, False),
        ({"id": "p-1"}, "application/problem+json; charset=utf-8", {"id": "p-1"}, False),
        ({"id": "p-1"}, "text/plain", '{"id": "p-1"}', False),
        ("", "application/json", None, False),
        ('{"id": 12345678901234567890}', "application/json", '{"id": 12345678901234567890}', False),
        ('{"a": 1, "a": 2}', "application/json", '{"a": 1, "a": 2}', False),
        ("\ufeff[1]", "application/json", [1], False),
        ("a\x00b", "text/plain", "a\ufffdb", False),
        ("ü" * 10_000, "text/plain", "ü" * 8192, True),
        (json.dumps(["x" * 20_000]), "application/json", '["' + "x" * 16_382, True),
        ("[" * 100_000, "application/json", "[" * 16_384, True),
    ],
)
def test_answer_is_recorded_within_bounds(
    receiver: Receiver, body: Any, content_type: str, recorded: Any, truncated: bool
) -> None:
    outcome = call(receiver, body=body, content_type=content_type)
    assert outcome.succeeded
    assert outcome.response is not None
    assert (outcome.response["body"], outcome.response["truncated"]) == (recorded, truncated)
    assert outcome.response["elapsed_ms"] > 0
    canonical_bytes(outcome.response)


@pytest.mark.parametrize("scheme", ["bearer", "basic", "header"])
def test_echoed_secret_is_not_recorded(receiver: Receiver, scheme: str) -> None:
    auth = {**BEARER, "scheme": scheme, **{"basic": {"username": "u"}, "header": {"name": "X-Key"}}.get(scheme, {})}
    token = base64.b64encode(f"u:{CANARY}".encode()).decode()
    receiver.behave(
        status=400, body={"headers": {"Authorization": f"Bearer {CANARY} Basic {token} tok%22en%2Fcanary%3D"}}
    )
    outcome = HttpConnector().call(built(receiver.url, auth=auth), terms())
    assert outcome.failure is FailureClass.REJECTED_BY_RECEIVER
    shown = json.dumps(outcome.response) + outcome.detail + repr(outcome)
    assert "canary" not in shown
    assert "[redacted]" in shown
    assert scheme != "basic" or token not in shown


def test_echoed_part_of_a_key_is_not_recorded(receiver: Receiver) -> None:
    receiver.behave(status=400, body={"unknown": CANARY})
    request = built(receiver.url, auth={"scheme": "header", "name": "X-Key", "secret": {"env": "BANK_TOKEN"}})
    outcome = HttpConnector().call(request, terms(secrets=secrets_in({"BANK_TOKEN": f"Token {CANARY}"})))
    assert "canary" not in json.dumps(outcome.response) + outcome.detail


def test_secret_that_is_absent_sends_nothing(receiver: Receiver) -> None:
    for environ in ({}, {"BANK_TOKEN": "two words"}, {"BANK_TOKEN": "ünicode"}, {"BANK_TOKEN": "a\nb"}):
        outcome = HttpConnector().call(built(receiver.url), terms(secrets=secrets_in(environ)))
        assert (outcome.failure, outcome.ambiguous) == (FailureClass.CREDENTIAL_UNAVAILABLE, False)
    assert receiver.requests() == []


def test_address_that_is_not_allowed_sends_nothing(receiver: Receiver) -> None:
    outcome = HttpConnector().call(built(receiver.url), terms(egress=EgressPolicy()))
    assert (outcome.failure, outcome.ambiguous) == (FailureClass.BLOCKED_ADDRESS, False)
    network = RecordingNetwork({"bank.example": ["10.0.0.1"]})
    outcome = HttpConnector().call(built("https://bank.example"), terms(network=network))
    assert (outcome.failure, network.dialled) == (FailureClass.BLOCKED_ADDRESS, [])
    assert receiver.requests() == []


def test_terms_that_no_header_holds_are_an_outcome_too(receiver: Receiver) -> None:
    outcome = HttpConnector().call(built(receiver.url), terms(traceparent="a\r\nX-Evil: 1"))
    assert (outcome.failure, outcome.ambiguous) == (FailureClass.ENVELOPE_MISMATCH, False)
    assert receiver.requests() == []


def test_nobody_listening_is_unambiguous(receiver: Receiver) -> None:
    receiver.stop()
    outcome = HttpConnector().call(built(receiver.url), terms())
    assert (outcome.failure, outcome.ambiguous) == (FailureClass.CONNECTION_REFUSED, False)


def test_repeated_key_has_one_effect(receiver: Receiver) -> None:
    receiver.behave(dedupe=True, body={"id": "p-1"})
    outcomes = [HttpConnector().call(built(receiver.url), terms()) for _ in range(3)]
    assert [outcome.response["body"] for outcome in outcomes if outcome.response] == [{"id": "p-1"}] * 3
    assert [entry["effect"] for entry in receiver.requests()] == [True, False, False]


def test_registry() -> None:
    http = connector_named("http")
    assert isinstance(http, OutboundConnector)
    register(HttpConnector())
    assert connector_named("http") is http

    class Impostor(HttpConnector):
        pass

    with pytest.raises(ValueError, match="registered already"):
        register(Impostor())
    with pytest.raises(LookupError, match=r"Registered: .*http"):
        connector_named("htpt")
